"""Provokes alerts for real: what they are about is done to servers, and Prometheus must say so, and the end.

The rules are those of deploy/prometheus but for `for`, which is only waiting. An alert is over when what its
page says was done; for some that is a new certificate, for others room on the disk.
"""

import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import yaml
from live import PATIENCE, Program, Server, answer, certificates, free_port, running

# How long an alert may take to be there, and to be over where rates look back for five minutes.
FIRES, ENDS = 60, 400
WAIT = "2s"


class Way:
    """Passes on what is sent to a port, until it is closed."""

    def __init__(self, to: int):
        self.to, self.closed = to, Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.sockets: list[socket.socket] = []
        Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """Joins who comes with who is behind."""
        while not self.closed.is_set():
            try:
                here, _ = self.listener.accept()
                there = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.sockets += [here, there]
            for one, other in ((here, there), (there, here)):
                Thread(target=copy, args=(one, other), daemon=True).start()

    def close(self) -> None:
        """Nobody is behind it any more."""
        self.closed.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.sockets:
            one.close()


def copy(one: socket.socket, other: socket.socket) -> None:
    """What one sends the other gets, until one of them is closed."""
    try:
        while content := one.recv(65536):
            other.sendall(content)
    except OSError:
        pass
    for end in (one, other):
        end.close()


class Stage:
    """Servers, and a Prometheus with the alerts that reads them."""

    def __init__(self, program: Path, folder: Path, tls: Path, prometheus: str):
        self.program, self.folder, self.tls, self.prometheus = program, folder, tls, prometheus

    def firing(self) -> set[str]:
        """The alerts that fire."""
        reply = answer(f"{self.prometheus}/api/v1/alerts")
        alerts = json.loads(reply)["data"]["alerts"] if reply else []
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def waits(self, seconds: float, alert: str, fires: bool) -> float | None:
        """How long it took until the alert fired, or no longer did."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            if (alert in self.firing()) is fires:
                return time.monotonic() - began
            time.sleep(0.5)
        return None

    def called(self, server: Server, path: str, request: object = None, scheme: str = "http") -> int:
        """The status of a call of JSON."""
        context = ssl.create_default_context(cafile=str(self.tls / "ca.pem")) if scheme == "https" else None
        content = None if request is None else json.dumps(request).encode()
        url = f"{scheme}://127.0.0.1:{server.port}{path}"
        call = urllib.request.Request(url, content, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(call, timeout=10, context=context) as reply:
                status: int = reply.status
                return status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def rates(self, server: Server, scheme: str = "http") -> int:
        """Writes something; the status."""
        request = {"user_id": "1", "movie_id": 1, "kind": "INTERACTION_KIND_LIKE"}
        return self.called(server, "/v1/interactions", request, scheme)


def started(program: Path, folder: Path, name: str, *options: str) -> Server:
    """A server over a folder of its name."""
    return Server(program, folder, name, "--data-dir", name, "--sample-data", "bundled", *options)


def rules(repository: Path, folder: Path) -> None:
    """Those of the repository, which wait for less."""
    text = (repository / "deploy/prometheus/alerts.yaml").read_text()
    content = yaml.safe_load(text)
    for group in content["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = WAIT
    (folder / "alerts.json").write_text(json.dumps(content))


def findings(repository: Path, program: Path) -> Iterator[str]:
    """Alerts that did not fire, or did not end."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        tls = certificates(program, folder)
        rules(repository, folder)
        redis_port = free_port()
        redis = Program(folder, "redis", ["redis-server", "--port", str(redis_port), "--save", ""])
        stack.callback(redis.end)
        pair = ["--tls-cert", str(tls / "server.pem"), "--tls-key", str(tls / "server-key.pem")]
        pair += ["--tls-reload-interval", "1s"]
        one = started(program, folder, "one", "--max-connections", "20", *pair)
        other = started(program, folder, "other", "--cache", f"redis://127.0.0.1:{redis_port}")
        servers = [one, other]
        cql = os.environ.get("MARQUEE_TEST_CQL")
        way = Way(int(cql.rsplit(":", 1)[1])) if cql else None
        if cql and way:
            name = f"alerts_{os.getpid()}"
            subprocess.run(
                [program, "migrate", "--store", f"{cql}/{name}"], check=True, stdout=subprocess.DEVNULL
            )
            servers.append(
                started(program, folder, "third", "--store", f"scylla://127.0.0.1:{way.port}/{name}")
            )
        else:
            print("  MarqueeStoreUnreachable: not provoked, for want of MARQUEE_TEST_CQL")
        programs = [stack.enter_context(server.runs()) for server in servers]
        address = f"127.0.0.1:{free_port()}"
        targets = [f"127.0.0.1:{server.metrics}" for server in servers]
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.json"],
            "scrape_configs": [{"job_name": "marquee", "static_configs": [{"targets": targets}]}],
        }
        (folder / "prometheus.json").write_text(json.dumps(configuration))
        command: list[str | Path] = ["prometheus", "--config.file=prometheus.json"]
        command += ["--storage.tsdb.path=series", f"--web.listen-address={address}"]
        stack.enter_context(running(folder, "prometheus", command, f"http://{address}/-/ready"))
        stage = Stage(program, folder, tls, f"http://{address}")
        for server, scheme in ((one, "https"), (other, "http")):
            for _ in range(5):  # so that each rate has something before
                stage.rates(server, scheme)
        time.sleep(3)
        if early := stage.firing():
            yield f"before anything was done fire {early}"
        yield from failed_job(stage, other)
        yield from certificate(stage, one)
        yield from connections(stage, one)
        yield from full_disk(stage, one, programs[0])
        yield from without_redis(stage, other, redis)
        if way:
            yield from without_store(stage, servers[2], way)
        programs[0].process.send_signal(signal.SIGKILL)
        yield from provoked(stage, "MarqueeDown")
        yield from over(stage, "MarqueeRedisBreakerOpen")


def provoked(stage: Stage, *alerts: str) -> Iterator[str]:
    """Those of them that do not fire."""
    for alert in alerts:
        took = stage.waits(FIRES, alert, True)
        if took is None:
            yield f"{alert} does not fire"
        else:
            print(f"  {alert} fires", flush=True)


def over(stage: Stage, *alerts: str) -> Iterator[str]:
    """Those of them that do not end."""
    for alert in alerts:
        took = stage.waits(ENDS, alert, False)
        if took is None:
            yield f"{alert} does not end"
        else:
            print(f"  {alert} is over after {took:.0f} s", flush=True)


def failed_job(stage: Stage, server: Server) -> Iterator[str]:
    """A backup to where nothing can be written."""
    arguments = {"kind": "backup", "arguments": {"target": "/proc/nowhere"}}
    if stage.called(server, "/v1/jobs", arguments) != 200:
        yield "a backup to a folder that cannot be written is refused, not tried"
    yield from provoked(stage, "MarqueeJobFailed")


def certificate(stage: Stage, server: Server) -> Iterator[str]:
    """A pair that does not fit, then one that ends tomorrow, then that of before."""
    file, key = stage.tls / "server.pem", stage.tls / "server-key.pem"
    good = file.read_bytes(), key.read_bytes()
    file.write_text("no certificate")
    yield from provoked(stage, "MarqueeCertificateRefused")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", key, "-out", file], check=True, capture_output=True)
    yield from provoked(stage, "MarqueeCertificateExpires")
    file.write_bytes(good[0])
    key.write_bytes(good[1])
    yield from over(stage, "MarqueeCertificateExpires")


def connections(stage: Stage, server: Server) -> Iterator[str]:
    """More callers than there may be."""
    held = []
    for _ in range(40):
        try:
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        except OSError:
            break
    yield from provoked(stage, "MarqueeConnectionsRefused")
    for one in held:
        one.close()


def full_disk(stage: Stage, server: Server, program: Program) -> Iterator[str]:
    """A disk without room, and room again; calls fail meanwhile through the server's fault."""
    log = program.log.stat().st_size
    before = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (65536 + log, before[1]))
    limit = time.monotonic() + PATIENCE
    while "MarqueeStoreRefusesWrites" not in stage.firing() and time.monotonic() < limit:
        stage.rates(server, "https")
    yield from provoked(stage, "MarqueeStoreRefusesWrites")
    for _ in range(20):
        stage.rates(server, "https")
    yield from provoked(stage, "MarqueeErrorBudgetBurnsFast", "MarqueeErrorBudgetBurnsSlowly")
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, before)
    yield from over(stage, "MarqueeStoreRefusesWrites")
    if stage.rates(server, "https") != 200:
        yield "writes are refused although there is room again"


def without_redis(stage: Stage, server: Server, redis: Program) -> Iterator[str]:
    """A Redis that ends, and is started again."""
    command = redis.process.args
    redis.end()
    limit = time.monotonic() + FIRES
    alerts = {"MarqueeRedisBreakerOpen", "MarqueeEventsDropped"}
    while not alerts <= stage.firing() and time.monotonic() < limit:
        stage.rates(server)
        time.sleep(0.1)
    yield from provoked(stage, *sorted(alerts))
    again = Program(stage.folder, "redis", command)  # type: ignore[arg-type]
    redis.process = again.process


def without_store(stage: Stage, server: Server, way: Way) -> Iterator[str]:
    """A CQL store that is out of reach."""
    way.close()
    limit = time.monotonic() + FIRES
    while "MarqueeStoreUnreachable" not in stage.firing() and time.monotonic() < limit:
        stage.rates(server)
        time.sleep(0.2)
    yield from provoked(stage, "MarqueeStoreUnreachable")
