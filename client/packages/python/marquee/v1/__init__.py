"""The API `marquee.v1`: messages in `*_pb2`, stubs of the services in `*_pb2_grpc`."""
