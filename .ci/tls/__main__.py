"""Asks a running server for what TLS must not do any more.

    python3 .ci/tls PROGRAM

The server has the certificates that `tls dev` makes, in a folder of its own that is removed. What is sound
is spoken by Python's own TLS: both versions, both protocols of HTTP. What is not is asked for by hellos made
here, as libraries of today no longer say them: old versions, weak ciphers each alone, compression. That no
session is negotiated anew is tried by `openssl s_client`. A finding is a line; the exit code is 1 when there
is one.
"""

import argparse
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hello import NONE, SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, WEAK, Answer, ask

# For how long a server may open its store and load its model, in seconds.
PATIENCE = 60

OLD = {"SSL 3": SSL_3, "TLS 1.0": TLS_1_0, "TLS 1.1": TLS_1_1}


@contextmanager
def server(program: Path, folder: Path) -> Iterator[int]:
    """A server with a development certificate on a free port of this machine; the port."""
    pair = ["--tls-cert", "tls/server.pem", "--tls-key", "tls/server-key.pem"]
    subprocess.run([program, "tls", "dev", "--dir", "tls"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    log = folder / "server.log"
    with log.open("w") as output:
        command = [str(program), "serve", "--listen", "127.0.0.1:0", *pair]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield port_in(log, process)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def port_in(log: Path, process: subprocess.Popen[bytes]) -> int:
    """Where the server listens, once it says so."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        if found := re.search(r"listens on https://127\.0\.0\.1:([0-9]+)", log.read_text()):
            return int(found[1])
        time.sleep(0.1)
    sys.exit(f"the server does not listen:\n{log.read_text()[-4000:]}")


def sound(port: int, authority: Path) -> Iterator[str]:
    """What should be spoken and is not."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        for protocol in ("h2", "http/1.1"):
            context = ssl.create_default_context(cafile=str(authority))
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols([protocol])
            try:
                with (
                    socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
                    context.wrap_socket(plain, server_hostname="localhost") as secure,
                ):
                    spoken = secure.selected_alpn_protocol()
                    if spoken != protocol:
                        yield f"{version.name}: asked for {protocol}, {spoken} is spoken"
            except OSError as error:
                yield f"{version.name} with {protocol} is not spoken: {error}"


def unsound(port: int) -> Iterator[str]:
    """What should be refused and is not."""
    for name, version in OLD.items():
        if ask(port, version, list(WEAK.values())).is_hello:
            yield f"{name} is spoken"
    for name, cipher in WEAK.items():
        if ask(port, TLS_1_2, [cipher]).is_hello:
            yield f"{name} is used"
    plain: Answer = ask(port, TLS_1_2, [0xC02F, 0xC02B], compressions=[1, NONE])
    if not plain.is_hello:
        yield f"a hello that offers compression is not answered: {plain}"
    elif plain.compression != NONE:
        yield "what is sent is compressed"


def negotiated_anew(port: int) -> Iterator[str]:
    """Whether a session of TLS 1.2 may be negotiated anew, which costs the server most of the work."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-msg"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = process.communicate("R\n", timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    _, asked, after = said.partition("RENEGOTIATING")
    if not asked:
        yield f"openssl did not ask to negotiate anew:\n{said[-2000:]}"
    elif "ServerHello" in after:
        yield "a session is negotiated anew"


def main() -> None:
    """Prints what is found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path)
    program = parser.parse_args().program.resolve()
    with tempfile.TemporaryDirectory() as name, server(program, Path(name)) as port:
        findings = [
            *sound(port, Path(name) / "tls/ca.pem"),
            *unsound(port),
            *negotiated_anew(port),
        ]
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings; {len(OLD)} old versions and {len(WEAK)} weak ciphers were asked for")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
