"""The configurations of deploy/proxy before two real servers: what passes through them, what a restart costs.

The files are used as they are but for places and ports: names of nodes become ports of this machine, of which
the third has no server, and /tls the folder of the development certificates.
"""

import json
import re
import socket
import ssl
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import grpc  # type: ignore[import-untyped]
from live import PATIENCE, Program, Server, certificates, free_port

SERVING = b"\x08\x01"
# How long a server goes on after SIGTERM, as deploy/ has it everywhere: longer than it takes a proxy to ask
# twice, which it does every 2 s.
DRAIN = "10s"
CALLERS = 4


@dataclass(frozen=True)
class Proxy:
    """A proxy: its file, what of it is other on this machine (a pattern and what is put), its command."""

    file: str
    listens: tuple[str, str]
    node: tuple[str, str]
    command: tuple[str, ...]
    # Whether it asks nodes if they serve: then a restart must cost no call.
    asks: bool = True


PROXIES = [
    Proxy(
        "envoy.yaml",
        (r"0\.0\.0\.0, port_value: 50051", "127.0.0.1, port_value: {port}"),
        (
            r"node-{number}, port_value: 50051(.*?)port_value: 9464",
            r"127.0.0.1, port_value: {api}\1port_value: {metrics}",
        ),
        (
            str(Path(sys.executable).parent / "envoy"),
            "--use-dynamic-base-id",
            "--concurrency",
            "2",
            "-c",
            "FILE",
        ),
    ),
    Proxy(
        "haproxy.cfg",
        ("bind :50051", "bind 127.0.0.1:{port}"),
        ("node-{number}:50051", "127.0.0.1:{api} port {metrics}"),
        ("haproxy", "-db", "-f", "FILE"),
    ),
    Proxy(
        "nginx.conf",
        ("listen 50051", "listen 127.0.0.1:{port}"),
        ("node-{number}:50051", "127.0.0.1:{api}"),
        ("nginx", "-e", "stderr", "-g", "daemon off; pid FILE.pid;", "-c", "FILE"),
        asks=False,
    ),
]


def adapted(text: str, proxy: Proxy, port: int, tls: Path, nodes: list[tuple[int, int]]) -> str:
    """The configuration for this machine; `nodes` are their ports of the API and of the metrics."""
    pattern, put = proxy.listens
    text = re.sub(pattern, put.format(port=port), text)
    pattern, put = proxy.node
    for number, (api, metrics) in enumerate(nodes, 1):
        found, by = pattern.format(number=number), put.format(api=api, metrics=metrics)
        text = re.sub(found, by, text, flags=re.DOTALL)
    return text.replace("/tls/", f"{tls}/").replace("path: /tls}", f"path: {tls}}}")


@contextmanager
def before(
    servers: list[tuple[int, int]], proxy: Proxy, source: Path, folder: Path, tls: Path
) -> Iterator[int]:
    """The proxy before these servers; its port."""
    port = free_port()
    file = folder / proxy.file
    file.write_text(adapted(source.read_text(), proxy, port, tls, servers))
    program = Program(folder, proxy.file, [word.replace("FILE", str(file)) for word in proxy.command])
    try:
        limit = time.monotonic() + PATIENCE
        while not listens(port):
            if time.monotonic() > limit or program.process.poll() is not None:
                sys.exit(f"{proxy.file}: does not listen:\n{program.log.read_text()[-4000:]}")
            time.sleep(0.1)
        yield port
    finally:
        program.end()


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def channel(port: int, authority: Path) -> grpc.Channel:
    """A connection of its own with the proxy."""
    credentials = grpc.ssl_channel_credentials(authority.read_bytes())
    return grpc.secure_channel(f"localhost:{port}", credentials, [("grpc.use_local_subchannel_pool", 1)])


def wrong(port: int, authority: Path) -> Iterator[str]:
    """What gRPC and JSON do not get through the proxy."""
    with channel(port, authority) as connection:
        try:
            said = connection.unary_unary("/grpc.health.v1.Health/Check")(
                b"", timeout=10, wait_for_ready=True
            )
            if said != SERVING:
                yield f"health by gRPC says {said!r}"
        except grpc.RpcError as error:
            yield f"gRPC: {error}"
    context = ssl.create_default_context(cafile=str(authority))
    try:
        url = f"https://localhost:{port}/v1/genres"
        with urllib.request.urlopen(url, timeout=10, context=context) as reply:
            if "genres" not in json.loads(reply.read()):
                yield "JSON: the reply has no genres"
    except OSError as error:
        yield f"JSON: {error}"


def called(port: int, authority: Path, enough: Event) -> Counter[str]:
    """What a caller got, one call after the other, by status."""
    got: Counter[str] = Counter()
    with channel(port, authority) as connection:
        genres = connection.unary_unary("/marquee.v1.CatalogService/ListGenres")
        while not enough.is_set():
            try:
                genres(b"", timeout=10)
                got["OK"] += 1
            except grpc.RpcError as error:
                got[f"{error.code().name}: {error.details()}"] += 1
    return got


def lost(
    proxy: Proxy, port: int, authority: Path, servers: list[Server], running: list[ExitStack], restarts: int
) -> Iterator[str]:
    """Calls that failed while the servers were restarted, one after the other, so often in all."""
    enough = Event()
    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(called, port, authority, enough) for _ in range(CALLERS)]
        try:
            for number in range(restarts):
                place = number % len(servers)
                running[place].close()
                running[place].enter_context(servers[place].runs())
                time.sleep(3)  # so that the proxy has asked it again before the other one goes
        finally:
            enough.set()
        got = sum((caller.result() for caller in callers), Counter[str]())
    failed = {status: count for status, count in got.items() if status != "OK"}
    print(
        f"  {proxy.file}: {got.total()} calls over {restarts} restarts, {sum(failed.values())} failed",
        flush=True,
    )
    if (failed and proxy.asks) or not got["OK"]:
        yield f"calls failed while servers were restarted: {failed}"


def findings(repository: Path, program: Path, restarts: int, behind: str | None) -> Iterator[str]:
    """What is wrong with each proxy; with `restarts`, also what they, or one of them, lose meanwhile."""
    options = ["--tls-terminated-by", "127.0.0.0/8", "--drain-delay", DRAIN if restarts else "0s"]
    options += ["--sample-data", "bundled"]
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        tls = certificates(program, folder)
        pair = [(tls / file).read_text() for file in ("server.pem", "server-key.pem")]
        (tls / "haproxy.pem").write_text("".join(pair))
        servers = [
            Server(program, folder, each, "--data-dir", each, *options) for each in ("first", "second")
        ]
        running = [stack.enter_context(ExitStack()) for _ in servers]
        for server, kept in zip(servers, running, strict=True):
            kept.enter_context(server.runs())
        nodes = [(server.port, server.metrics) for server in servers] + [(free_port(), free_port())]
        for proxy in PROXIES:
            source = repository / "deploy/proxy" / proxy.file
            with before(nodes, proxy, source, folder, tls) as port:
                for finding in wrong(port, tls / "ca.pem"):
                    yield f"{proxy.file}: {finding}\n{(folder / f'{proxy.file}.log').read_text()[-1500:]}"
                if restarts and behind in (None, proxy.file):
                    for finding in lost(proxy, port, tls / "ca.pem", servers, running, restarts):
                        yield f"{proxy.file}: {finding}"
