#!/usr/bin/env python3
"""The whole GPU measurement in one call: correctness, naive, bare, batch RPCs, unary calls, half load, busy GPU.

It builds nothing. It needs, and looks for nothing else:

- the binaries `marquee-server`, `marquee-loadgen` and `gpu` (`cargo build --release --workspace --bins`), in one
  folder: --binaries;
- a bundle: --bundle. One of random weights (`python -m marquee_onnx random BUNDLE --without-tables`) may come
  without its tables; they are made again from its seed, for which this Python needs numpy, onnx, onnxruntime and
  safetensors, and the folder `onnx/` of the repository beside this one;
- ONNX Runtime's libraries for CUDA 13: ORT_DYLIB_PATH names libonnxruntime.so.1.31.1, beside which
  libonnxruntime_providers_shared.so and libonnxruntime_providers_cuda.so lie;
- libcudart.so.13, libcublas.so.13, libcublasLt.so.13 and libcurand.so.10 on LD_LIBRARY_PATH; cuDNN is not needed;
- nvidia-smi, for the GPU's name and how busy it is.

    python3 benches/gpu/run.py --binaries target/release --bundle BUNDLE --results benches/RESULTS-gpu.md

takes about three minutes. `--device cpu --quick` tries the script itself out, on the CPU, and writes no results
unless told where. The load generator runs on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
START_LIMIT_S = 300
SAMPLE_INTERVAL_S = 0.1


def main() -> int:
    arguments = parse()
    restore_tables(arguments.bundle)
    with tempfile.TemporaryDirectory(prefix="marquee-gpu-") as scratch:
        figures = measure(arguments, Path(scratch))
    table = results(figures, arguments)
    print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.results:
        arguments.results.write_text(table)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--binaries", type=Path, required=True, help="folder with marquee-server, marquee-loadgen, gpu"
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the script out")
    parser.add_argument(
        "--sessions", type=int, default=8, help="sessions of the loops and workers of the server"
    )
    parser.add_argument("--seconds", type=float, default=6, help="of each figure of the server")
    parser.add_argument(
        "--callers", type=int, nargs="+", default=[512, 1024, 2048, 4096], help="tried for unary calls"
    )
    parser.add_argument("--batches", type=int, default=256, help="requests in a batch RPC")
    parser.add_argument("--batch-callers", type=int, default=128)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--generator-threads", type=int, default=8)
    parser.add_argument(
        "--spare-cores", type=int, default=2, help="that the server leaves alone, for the load generator"
    )
    parser.add_argument("--commit", help="of the binaries; this checkout's when absent")
    parser.add_argument("--quick", action="store_true", help="tiny counts, for trying the script out")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--results", type=Path, help="write the table here, as Markdown")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sessions, arguments.seconds, arguments.callers = 1, 1, [8]
        arguments.batches, arguments.batch_callers = 8, 2
        arguments.connections, arguments.generator_threads, arguments.spare_cores = 4, 1, 0
    return arguments


def restore_tables(bundle: Path) -> None:
    """Make the tables of a random bundle that travelled without them."""
    manifest = json.loads((bundle / "bundle.json").read_text())
    if (bundle / manifest["tables"]["file"]).exists():
        return
    say("making the bundle's tables again")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "onnx")}
    command = [sys.executable, "-m", "marquee_onnx", "random", "--restore-tables", str(bundle)]
    subprocess.run(command, env=environment, check=True)


def measure(arguments: argparse.Namespace, scratch: Path) -> dict:
    """All figures, the cheapest to get wrong first."""
    figures = {"device": device_name(arguments), "versions": versions(arguments)}
    say("checking the device's answers, then timing it without a server")
    figures["loops"] = loops(arguments, scratch)
    options = ["--workers", str(arguments.sessions), "--vector-cache-mib", "0"]
    with server(arguments, scratch, options) as (url, metrics):
        load = Load(arguments, scratch, url)
        load.run("warm", "--callers", str(arguments.callers[0]), "--duration", "2s", rpc="Recommend")
        say("batch RPCs")
        with busy(arguments) as share:
            batches = ["--batch", str(arguments.batches), "--callers", str(arguments.batch_callers)]
            figures["batch"] = load.run("batch", *batches, rpc="RecommendBatch")
        figures["batch"]["busy"] = share()
        say("unary calls")
        figures["unary"] = []
        for callers in arguments.callers:
            with busy(arguments) as share:
                unary = load.run(f"unary-{callers}", "--callers", str(callers), rpc="Recommend")
            figures["unary"].append(unary | {"callers": callers, "busy": share()})
        best = max(unary["per_s"] for unary in figures["unary"])
        say("half load")
        half = ["--rate", f"{best / 2:.0f}", "--max-in-flight", "50000"]
        figures["half"] = load.run("half", *half, rpc="Recommend")
        figures["engine"] = engine_counters(metrics)
    return figures


def loops(arguments: argparse.Namespace, scratch: Path) -> dict:
    """What `gpu` says: correctness, the encoder by shape, naive and bare."""
    output = scratch / "loops.json"
    command = [arguments.binaries / "gpu", "--bundle", arguments.bundle, "--device", arguments.device]
    command += ["--sessions", arguments.sessions, "--json", output]
    if arguments.quick:
        command += ["--seconds", 0.2, "--checked", 32, "--max-tokens", 16 * 200]
    subprocess.run([str(part) for part in command], check=True)
    return json.loads(output.read_text())


@contextmanager
def server(arguments: argparse.Namespace, scratch: Path, options: list[str]):
    """A server that is warm, with the addresses of its API and of its metrics."""
    api, metrics = free_port(), free_port()
    log = scratch / "server.log"
    command = [
        str(arguments.binaries / "marquee-server"),
        "serve",
        "--sample-data",
        "none",
        "--device",
        arguments.device,
    ]
    command += ["--bundle", str(arguments.bundle), "--data-dir", str(scratch / "data")]
    command += ["--listen", api, "--metrics-listen", metrics, *options]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            preexec_fn=lambda: os.sched_setaffinity(0, servers_cores(arguments)),
        )
    try:
        wait_until_warm(process, metrics, log)
        yield f"http://{api}", f"http://{metrics}/metrics"
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
        refused = [line for line in log.read_text().splitlines() if "CUDA graphs are not used" in line]
        for line in refused[:3]:
            say(line)


def servers_cores(arguments: argparse.Namespace) -> set[int]:
    """Where the server runs: with as many threads as the machine has cores, it and the generator would wait for
    each other's turns."""
    every = sorted(os.sched_getaffinity(0))
    return set(every[: max(1, len(every) - arguments.spare_cores)])


def wait_until_warm(process: subprocess.Popen, metrics: str, log: Path) -> None:
    """The log says when the first model is active, in text and in JSON alike."""
    began = time.monotonic()
    while time.monotonic() - began < START_LIMIT_S:
        if process.poll() is not None or "activated a model" in log.read_text():
            break
        time.sleep(0.2)
    if process.poll() is None and "activated a model" in log.read_text():
        return
    raise SystemExit("the server did not become ready; it said last:\n" + log.read_text()[-3000:])


class Load:
    """Runs the load generator and takes from its report what the table shows."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path, url: str) -> None:
        self.arguments, self.scratch, self.url = arguments, scratch, url
        self.popularity = scratch / "popularity.csv"
        vocabulary = (arguments.bundle / "vocabulary.u32").read_bytes()
        ids = (int.from_bytes(vocabulary[at : at + 4], "little") for at in range(0, len(vocabulary), 4))
        self.popularity.write_text("movieId,ratings\n" + "".join(f"{movie},1\n" for movie in ids))

    def run(self, name: str, *load: str, rpc: str) -> dict:
        """One run: histories as long as MovieLens users', exact top 10."""
        report = self.scratch / f"{name}.json"
        command = [
            str(self.arguments.binaries / "marquee-loadgen"),
            "run",
            "--target",
            self.url,
            "--json",
            str(report),
        ]
        command += ["--rpc", rpc, "--histories", "--popularity", str(self.popularity), "--method", "exact"]
        command += ["--connections", str(self.arguments.connections), "--progress", "none"]
        command += ["--threads", str(self.arguments.generator_threads), *load]
        if "--duration" not in load:
            command += ["--duration", f"{self.arguments.seconds:g}s"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        said = json.loads(report.read_text())
        latency = said["latency_ms"]
        return {
            "per_s": said["throughput"],
            "p50_ms": latency["p50"],
            "p99_ms": latency["p99"],
            "errors": said["errors"],
            "valid": said["valid"],
            "invalid_because": said["invalid_because"],
        }


@contextmanager
def busy(arguments: argparse.Namespace):
    """Samples how busy the GPU is; yields a function that answers the mean share once the block is left."""
    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_INTERVAL_S):
            answer = nvidia_smi(arguments, "utilization.gpu")
            if answer is not None:
                samples.append(float(answer) / 100)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        # The generator's start and its warm-up of a second are left out, and the second of its end.
        yield lambda: mean(samples[len(samples) // 4 : -max(1, len(samples) // 8)])
    finally:
        stop.set()
        sampler.join()


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def nvidia_smi(arguments: argparse.Namespace, query: str) -> str | None:
    """What nvidia-smi says of the device; `None` on a CPU."""
    if arguments.device == "cpu":
        return None
    number = arguments.device.partition(":")[2] or "0"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", "-i", number]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def device_name(arguments: argparse.Namespace) -> str:
    if arguments.device == "cpu":
        return "the CPU, to try the script out: no figure of this table is a GPU's"
    return nvidia_smi(arguments, "name,driver_version") or "unknown"


def versions(arguments: argparse.Namespace) -> str:
    said = subprocess.run(
        [arguments.binaries / "marquee-server", "--version"], capture_output=True, text=True, check=True
    )
    library = Path(os.environ.get("ORT_DYLIB_PATH") or "the built-in library").name
    command = ["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"]
    here = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    commit = arguments.commit or here or "unknown"
    return f"{said.stdout.strip()} at {commit}, {library}, {os.cpu_count()} cores, {platform.release()}"


def engine_counters(url: str) -> dict:
    """The server's own account: sizes of batches, refusals, graphs that were not to be had."""
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return {}
    wanted = ("marquee_engine_batch_size_sum", "marquee_engine_batch_size_count", "marquee_engine_cuda_graph")
    found = (line.rsplit(" ", 1) for line in lines if line.startswith(wanted))
    return {name: float(value) for name, value in found}


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def results(figures: dict, arguments: argparse.Namespace) -> str:
    """The table."""
    loops, answers = figures["loops"], figures["loops"]["answers"]
    best = max(figures["unary"], key=lambda unary: unary["per_s"])
    bare = answers["bare_per_s"]
    title = "# Marquee on a GPU" if arguments.device != "cpu" else "# The script tried out on a CPU"
    quick = " --quick" if arguments.quick else ""
    lines = [
        title,
        "",
        "Written by `python3 benches/gpu/run.py --binaries DIR --bundle DIR"
        + (f" --device {arguments.device}" if arguments.device != "cuda" else "")
        + f"{quick}`.",
        "",
        f"- Date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"- Device: {figures['device']}",
        f"- Versions: {figures['versions']}",
        f"- Model: {loops['model']}, {loops['items']} items; {arguments.sessions} sessions; a session is warm after "
        f"{loops['start_s']:.1f} s",
        f"- Right: vectors of {loops['checked']['requests']} requests within {loops['checked']['error']:.1e} of the fp32 "
        f"encoder's, {loops['checked']['overlap']:.4f} of the exact ten best in the answers",
        "",
        "Histories as long as those of MovieLens users, exact top 10, the history excluded. *Naive*: one request at a "
        "time on one session. *Bare*: batches of 1,024 of about one length, no server. Batch RPCs and unary calls over "
        f"loopback, the load generator on the same machine, {arguments.spare_cores} cores of which the server leaves "
        "alone, no vectors remembered.",
        "",
        "| figure | value | aim |",
        "|---|---|---|",
        f"| naive | {answers['naive_per_s']:,.0f} answers/s | |",
        f"| bare, one session | {answers['bare_one_session_per_s']:,.0f} answers/s | |",
        f"| bare, {answers['sessions']} sessions | {bare:,.0f} answers/s | |",
        f"| batch RPCs of {arguments.batches}, {arguments.batch_callers} callers | {figures['batch']['per_s']:,.0f} answers/s | |",
        f"| batch RPCs over bare | {figures['batch']['per_s'] / bare:.2f} | at least 0.90 |",
        f"| GPU busy under batch RPCs | {percent(figures['batch']['busy'])} | at least 90% |",
    ]
    for unary in figures["unary"]:
        lines.append(
            f"| unary, {unary['callers']:,} callers | {unary['per_s']:,.0f} answers/s, p50 {unary['p50_ms']:.2f} ms, "
            f"p99 {unary['p99_ms']:.2f} ms, GPU busy {percent(unary['busy'])} | |"
        )
    lines += [
        f"| unary, the most | {best['per_s']:,.0f} answers/s | at least 60,000 |",
        f"| GPU busy at the most | {percent(best['busy'])} | at least 90% |",
        f"| half of that, open loop | {figures['half']['per_s']:,.0f} answers/s, p99 {figures['half']['p99_ms']:.2f} ms, "
        f"{figures['half']['errors']} errors | at most 5 ms |",
        "",
        f"| the encoder alone: batch x length | one session, median ms | sequences/s | {answers['sessions']} sessions, sequences/s |",
        "|---|---|---|---|",
    ]
    for shape in loops["encoder"]:
        lines.append(
            f"| {shape['batch']:,} x {shape['length']} | {shape['ms']:.3f} | {shape['per_s']:,.0f} | {shape['per_s_all']:,.0f} |"
        )
    doubts = [
        f"- {name} is not valid: {'; '.join(run['invalid_because'])}"
        for name, run in runs(figures)
        if not run["valid"]
    ]
    failed = [f"- {name} had {run['errors']} errors" for name, run in runs(figures) if run["errors"]]
    graphs = sum(value for name, value in figures["engine"].items() if "cuda_graph" in name)
    if graphs:
        doubts.append(f"- {graphs:.0f} sessions of the server went without CUDA graphs; its log says why")
    if doubts or failed:
        lines += ["", "Doubts:", "", *doubts, *failed]
    return "\n".join(lines) + "\n"


def runs(figures: dict) -> list[tuple[str, dict]]:
    unary = [(f"unary, {run['callers']} callers,", run) for run in figures["unary"]]
    return [("the run of batch RPCs", figures["batch"]), *unary, ("half load", figures["half"])]


def percent(share: float | None) -> str:
    return "not measured" if share is None else f"{share:.0%}"


if __name__ == "__main__":
    sys.exit(main())
