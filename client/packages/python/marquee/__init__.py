"""Marquee, a recommendation server: the client that is generated from its protos."""
