"""Servers under a little load, a Prometheus that reads them, and what the dashboards ask of it."""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metrics import asked, queries

# For how long a program may take until it answers, in seconds.
PATIENCE = 90
# How long callers call, in seconds, and over how much of it rates are taken.
LOAD, RATES = 15, "30s"
CALLS = "Recommend=50,RecommendBatch=2,SearchMovies=20,GetUserStats=5,RecordInteraction=5"

# Jobs whose figures panels show, with what they are told.
JOBS: dict[str, dict[str, str]] = {
    "statistics": {},
    "sync": {},
    "evaluate": {"users": "20"},
    "recall": {"users": "20"},
    "backup": {"target": "backups"},
}

# Series that no healthy server has after a little load, and why.
FIRST_ERROR = "there with the first one, which a healthy server does not count"
ABSENT = {
    "marquee_connections_closed_total": "there with the first connection that nobody uses",
    "marquee_connections_refused_total": FIRST_ERROR,
    "marquee_engine_batches_failed_total": FIRST_ERROR,
    "marquee_engine_cuda_graph_failures_total": "of GPUs alone, and there with the first failure",
    "marquee_engine_jobs_cancelled_total": "there with the first caller that goes away",
    "marquee_engine_jobs_failed_total": FIRST_ERROR,
    "marquee_events_dropped_total": FIRST_ERROR,
    "marquee_experiments_lost_total": FIRST_ERROR,
    "marquee_limit_rate_limited_total": "there with the first caller over its rate",
    "marquee_receive_buffer_used_bytes": "there with the first request that comes in parts",
    "marquee_recommend_explored_total": "there with the first new movie that is drawn",
    "marquee_redis_circuit_breaker_opened_total": FIRST_ERROR,
    "marquee_redis_keys_freed_total": "there with the first key of another program",
    "marquee_store_session_lost_total": FIRST_ERROR,
    "marquee_store_write_failures_total": FIRST_ERROR,
    "marquee_tls_reloads_total": "there with the first renewed certificate",
}
FAULTS = 'rpc_response_status_code=~"UNAVAILABLE'
# What a metric needs that begins so: a variable of the environment, as `deploy/services up` prints it.
NEEDS = {"marquee_redis_": "MARQUEE_TEST_REDIS", "marquee_store_s": "MARQUEE_TEST_CQL"}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def answer(url: str) -> str | None:
    """What is answered with 200, if it is."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            text: str = reply.read().decode()
            return text
    except OSError:
        return None


class Program:
    """A program that runs until it is ended, with its output in a file."""

    def __init__(self, folder: Path, name: str, command: list[str | Path]):
        self.log = folder / f"{name}.log"
        with self.log.open("a") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)

    def ready(self, url: str) -> None:
        """Waits until the address answers with 200."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit and self.process.poll() is None:
            if answer(url) is not None:
                return
            time.sleep(0.1)
        sys.exit(f"{self.log.name}: not ready:\n{self.log.read_text()[-4000:]}")

    def end(self) -> None:
        """Ends it as an operator would."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(folder: Path, name: str, command: list[str | Path], ready: str) -> Iterator[Program]:
    """A program, from when it answers until it is ended."""
    program = Program(folder, name, command)
    try:
        program.ready(ready)
        yield program
    finally:
        program.end()


class Server:
    """A server on ports that stay the same when it starts again."""

    def __init__(self, program: Path, folder: Path, name: str, *options: str):
        self.port, self.metrics = free_port(), free_port()
        self.folder, self.name = folder, name
        self.command: list[str | Path] = [program, "serve", "--listen", f"127.0.0.1:{self.port}"]
        self.command += ["--metrics-listen", f"127.0.0.1:{self.metrics}", *options]

    def runs(self) -> AbstractContextManager[Program]:
        """Serves, from when it is ready until it is ended."""
        ready = f"http://127.0.0.1:{self.metrics}/readyz"
        return running(self.folder, self.name, self.command, ready)


def certificates(program: Path, folder: Path) -> Path:
    """An authority and a pair for this machine."""
    tls = folder / "tls"
    subprocess.run([program, "tls", "dev", "--dir", tls], check=True, stdout=subprocess.DEVNULL)
    return tls


def servers(program: Path, folder: Path, tls: Path) -> Iterator[tuple[Server, str]]:
    """One with the embedded store and TLS, and where there is a CQL server one with that; and their URLs."""
    redis, cql = os.environ.get("MARQUEE_TEST_REDIS"), os.environ.get("MARQUEE_TEST_CQL")
    sample = ["--sample-data", "bundled"]
    cache = ["--cache", f"{redis}?namespace=deploy-{os.getpid()}"] if redis else []
    pair = ["--tls-cert", str(tls / "server.pem"), "--tls-key", str(tls / "server-key.pem")]
    one = Server(program, folder, "one", "--data-dir", "one", "--job-budget", "100", *sample, *pair, *cache)
    yield one, f"https://127.0.0.1:{one.port}"
    if cql:
        store = f"{cql}/deploy_{os.getpid()}"
        subprocess.run([program, "migrate", "--store", store], check=True, stdout=subprocess.DEVNULL)
        other = Server(program, folder, "other", "--data-dir", "other", "--store", store, *sample, *cache)
        yield other, f"http://127.0.0.1:{other.port}"


def load(program: Path, url: str, tls: Path, *options: str) -> subprocess.Popen[str]:
    """Callers, who call for a while."""
    generator = program.parent / "marquee-loadgen"
    command: list[str | Path] = [generator, "run", "--target", url, "--callers", "4", "--connections", "2"]
    command += ["--tls-ca", tls / "ca.pem"] if url.startswith("https") else []
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def nobody(url: str, tls: Path) -> None:
    """A call that fails, by a caller without gRPC: nobody has this name."""
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    try:
        urllib.request.urlopen(f"{url}/v1/users/4294967295", timeout=5, context=context)
    except urllib.error.HTTPError:
        return
    raise AssertionError("a user that does not exist was found")


def jobs(url: str, tls: Path, folder: Path) -> Iterator[str]:
    """Those that do not succeed; `backup` writes into the folder."""
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))

    def called(path: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        content = None if request is None else json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        call = urllib.request.Request(f"{url}/v1/jobs{path}", content, headers)
        with urllib.request.urlopen(call, timeout=10, context=context) as reply:
            said: dict[str, Any] = json.loads(reply.read())["job"]
            return said

    for kind, given in JOBS.items():
        limit = time.monotonic() + 3 * PATIENCE  # jobs give way to all others
        arguments = {
            name: str(folder / value) if name == "target" else value for name, value in given.items()
        }
        job = called("", {"kind": kind, "arguments": arguments})
        while job["state"] in ("JOB_STATE_QUEUED", "JOB_STATE_RUNNING") and time.monotonic() < limit:
            time.sleep(0.2)
            job = called(f"/{job['job_id']}")
        if job["state"] != "JOB_STATE_SUCCEEDED":
            yield f"the job {kind} did not succeed: {job}"


def asked_of(prometheus: str, expression: str) -> bool:
    """Whether the query has an answer that is a number."""
    text = expression.replace("$__rate_interval", RATES).replace("$instance", ".*")
    reply = answer(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': text})}")
    if reply is None:
        return False
    return any(sample["value"][1] != "NaN" for sample in json.loads(reply)["data"]["result"])


def excuse(expression: str) -> str | None:
    """Why there may be no answer."""
    if FAULTS in expression:
        return FIRST_ERROR
    for name in asked(expression):
        if name in ABSENT:
            return ABSENT[name]
        for prefix, variable in NEEDS.items():
            needed = name.startswith(prefix) and name != "marquee_store_refuses_writes"
            if needed and variable not in os.environ:
                return f"needs {variable}, as `deploy/services up` prints it"
    return None


def queries_without_answer(repository: Path, program: Path) -> Iterator[str]:
    """Queries of the dashboards that have no answer and no excuse, and excuses that nothing needs."""
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        tls = certificates(program, folder)
        targets, urls = [], []
        for server, url in servers(program, folder, tls):
            stack.enter_context(server.runs())
            targets.append(f"127.0.0.1:{server.metrics}")
            urls.append(url)
        configuration = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "marquee", "static_configs": [{"targets": targets}]}],
        }
        (folder / "prometheus.json").write_text(json.dumps(configuration))
        address = f"127.0.0.1:{free_port()}"
        command: list[str | Path] = ["prometheus", "--config.file=prometheus.json"]
        command += ["--storage.tsdb.path=series", f"--web.listen-address={address}"]
        stack.enter_context(running(folder, "prometheus", command, f"http://{address}/-/ready"))
        (folder / "backups").mkdir()
        yield from jobs(urls[0], tls, folder)
        options = ["--rpc", CALLS, "--allow-writes", "--users", "1-100", "--duration", f"{LOAD}s"]
        callers = [load(program, url, tls, *options) for url in urls]
        nobody(urls[0], tls)
        for caller in callers:
            said, _ = caller.communicate(timeout=LOAD + PATIENCE)
            if caller.returncode:
                yield f"the load generator failed:\n{said[-2000:]}"
        time.sleep(2)  # two scrapes more, which is what is waited for
        yield from unanswered(f"http://{address}", list(queries(repository / "deploy")))


def unanswered(prometheus: str, asked_for: list[tuple[str, str]]) -> Iterator[str]:
    """Those without an answer; what is excused is printed."""
    answered = {expression for _, expression in asked_for if asked_of(prometheus, expression)}
    for place, expression in asked_for:
        if expression in answered:
            continue
        if why := excuse(expression):
            print(f"  no answer, {why}: {place}")
        else:
            yield f"{place}: no answer to {expression}"
    print(f"  {len(answered)} of {len({expression for _, expression in asked_for})} queries were answered")
    named = set().union(*(asked(expression) for _, expression in asked_for))
    for name in ABSENT.keys() - named:
        yield f"{name}: is excused, and no dashboard asks for it"
