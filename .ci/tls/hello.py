"""The first message of TLS, made by hand, and what a server answers."""

import os
import socket
import struct
from dataclasses import dataclass

SSL_3, TLS_1_0, TLS_1_1, TLS_1_2 = 0x0300, 0x0301, 0x0302, 0x0303

# The compression that is none.
NONE = 0

# Ciphers of TLS 1.2 and before that nothing should use: without encryption or proof of who answers, broken
# (RC4, DES, 3DES, MD5, export), CBC with its oracles, and RSA for keys, which tells old sessions to whoever
# gets the key later.
WEAK = {
    "TLS_RSA_WITH_NULL_SHA": 0x0002,
    "TLS_RSA_EXPORT_WITH_RC4_40_MD5": 0x0003,
    "TLS_RSA_WITH_RC4_128_MD5": 0x0004,
    "TLS_RSA_WITH_RC4_128_SHA": 0x0005,
    "TLS_RSA_WITH_DES_CBC_SHA": 0x0009,
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA": 0x000A,
    "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA": 0x0016,
    "TLS_DH_anon_WITH_AES_128_CBC_SHA": 0x0034,
    "TLS_RSA_WITH_AES_128_CBC_SHA": 0x002F,
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA": 0x0033,
    "TLS_RSA_WITH_AES_256_CBC_SHA": 0x0035,
    "TLS_RSA_WITH_AES_128_CBC_SHA256": 0x003C,
    "TLS_RSA_WITH_AES_128_GCM_SHA256": 0x009C,
    "TLS_ECDHE_ECDSA_WITH_NULL_SHA": 0xC006,
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA": 0xC007,
    "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA": 0xC008,
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": 0xC009,
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": 0xC00A,
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA": 0xC011,
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": 0xC012,
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": 0xC013,
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": 0xC014,
    "TLS_ECDH_anon_WITH_AES_128_CBC_SHA": 0xC018,
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": 0xC023,
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": 0xC027,
}

HANDSHAKE, CLIENT_HELLO, SERVER_HELLO = 22, 1, 2


@dataclass
class Answer:
    """What a server says first; nothing where it hangs up."""

    record: bytes

    @property
    def is_hello(self) -> bool:
        """Whether the server goes on with the handshake."""
        return self.record[:1] == bytes([HANDSHAKE]) and self.record[5:6] == bytes([SERVER_HELLO])

    @property
    def compression(self) -> int:
        """Behind the lengths, version, random bytes, session and cipher of a hello."""
        session = self.record[43]
        return self.record[44 + session + 2]


def ask(port: int, version: int, ciphers: list[int], compressions: list[int] | None = None) -> Answer:
    """What the server on this port of this machine answers to a hello of this version at most."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(hello(version, ciphers, compressions or [NONE]))
        record = b""
        try:
            while len(record) < 5 or len(record) < 5 + struct.unpack(">H", record[3:5])[0]:
                piece = connection.recv(4096)
                if not piece:
                    break
                record += piece
        except ConnectionResetError:
            pass
    return Answer(record)


def hello(version: int, ciphers: list[int], compressions: list[int]) -> bytes:
    """The first message of a handshake for `localhost`."""
    groups = struct.pack(">HHH", 4, 29, 23)  # x25519, secp256r1
    signatures = struct.pack(">HHHH", 6, 0x0403, 0x0804, 0x0401)
    extensions = b"".join(
        struct.pack(">HH", kind, len(body)) + body
        for kind, body in [
            (0, struct.pack(">HBH", 12, 0, 9) + b"localhost"),
            (10, groups),
            (11, b"\x01\x00"),
            (13, signatures),
            (23, b""),
        ]
    )
    body = b"".join(
        [
            struct.pack(">H", version),
            os.urandom(32),
            b"\x00",
            struct.pack(">H", 2 * len(ciphers)),
            b"".join(struct.pack(">H", cipher) for cipher in ciphers),
            bytes([len(compressions), *compressions]),
            struct.pack(">H", len(extensions)),
            extensions,
        ]
    )
    message = bytes([CLIENT_HELLO]) + struct.pack(">I", len(body))[1:] + body
    return bytes([HANDSHAKE]) + struct.pack(">HH", TLS_1_0, len(message)) + message
