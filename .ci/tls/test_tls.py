# ruff: noqa: D103
"""That the checks find what they look for, in a server of OpenSSL that is as lax as it can be."""

import importlib.util
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import hello
import pytest

HERE = Path(__file__).parent


@pytest.fixture
def lax(tmp_path: Path) -> Iterator[int]:
    """A server that speaks what it should not; its port."""
    request = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost"
    subprocess.run(["openssl", *request.split()], cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ciphers = ["-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "-min_protocol", "TLSv1"]
    command = f"openssl s_server -accept 127.0.0.1:{port} -cert cert.pem -key key.pem -client_renegotiation"
    server = subprocess.Popen(
        [*command.split(), *ciphers], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield port
    finally:
        server.kill()
        server.wait()


def test_old_versions_and_weak_ciphers_are_found(lax):
    ciphers = list(hello.WEAK.values())
    assert hello.ask(lax, hello.TLS_1_0, ciphers).is_hello
    assert hello.ask(lax, hello.TLS_1_1, ciphers).is_hello
    weak = [name for name, cipher in hello.WEAK.items() if hello.ask(lax, hello.TLS_1_2, [cipher]).is_hello]
    assert "TLS_RSA_WITH_AES_128_CBC_SHA" in weak
    assert "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" in weak


def test_the_compression_of_a_hello_is_read(lax):
    answer = hello.ask(lax, hello.TLS_1_2, [0xC02F], [1, hello.NONE])
    assert answer.is_hello
    assert answer.compression == hello.NONE


def test_a_new_negotiation_is_found(lax):
    found = importlib.util.spec_from_file_location("checks", HERE / "__main__.py")
    assert found
    assert found.loader
    checks = importlib.util.module_from_spec(found)
    found.loader.exec_module(checks)
    assert list(checks.negotiated_anew(lax)) == ["a session is negotiated anew"]
