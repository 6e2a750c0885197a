#!/usr/bin/env python3
"""Does marquee-loadgen agree with ghz? The same load by both, in alternating rounds, against one server.

Each round runs ghz and marquee-loadgen once, the order turning; medians over the rounds are compared. Both
ask Recommend for users drawn evenly, over as many connections, from a closed loop of one caller, a closed
loop that saturates the server, and an open loop of evenly spaced requests at half of what the server did.

On a machine where generator and server share cores, a generator's own processor time becomes the server's
waiting time. Give them cores of their own, `taskset -c 0 marquee-server ...` and `--cores 1`, or read the
columns of the server beside each generator: they are its own account, from its metrics page.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import urllib.request

CALL = "marquee.v1.RecommendationService.Recommend"
SERVER_TIME = "rpc_server_call_duration_seconds"


def arguments():
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="127.0.0.1:50051")
    parser.add_argument("--metrics", help="the server's Prometheus page, for its own account of the time")
    parser.add_argument("--ghz", default="ghz")
    parser.add_argument("--loadgen", default="marquee-loadgen")
    parser.add_argument("--users", type=int, default=600, help="users 1 to this are stored")
    parser.add_argument("--callers", type=int, default=16, help="of the closed loop that saturates")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", help="run the generators on these, as taskset writes them")
    return parser.parse_args()


def main():
    """Compares in three loads."""
    options = arguments()
    one = ["--connections", "1"]
    many = ["--connections", str(options.callers)]
    callers = str(options.callers)
    loadgen(options, ["--callers", callers, *many])  # warms the server
    compare(options, "1 caller", ["-c", "1", *one], ["--callers", "1", *one])
    most = compare(options, f"{callers} callers", ["-c", callers, *many], ["--callers", callers, *many])
    rate = str(int(most / 2))
    compare(
        options,
        f"open loop, {rate}/s",
        ["-c", callers, *many, "--async", "--rps", rate],
        ["--rate", rate, "--arrivals", "constant", *many],
    )


def compare(options, name, for_ghz, for_loadgen):
    """Runs the rounds, prints a line for each generator and gives back the lower throughput."""
    results = {"ghz": [], "loadgen": []}
    for turn in range(options.rounds):
        runs = [("ghz", lambda: ghz(options, for_ghz)), ("loadgen", lambda: loadgen(options, for_loadgen))]
        for generator, run in runs[:: 1 if turn % 2 == 0 else -1]:
            before = server_time(options)
            result = run()
            after = server_time(options)
            if before and after and after[1] > before[1]:
                result["server"] = 1e3 * (after[0] - before[0]) / (after[1] - before[1])
            results[generator].append(result)

    def median(generator, figure):
        return statistics.median(result.get(figure, float("nan")) for result in results[generator])

    print(f"\n{name}")
    for generator in results:
        print(
            f"  {generator:8} {median(generator, 'rate'):9.1f}/s   p50 {median(generator, 'p50'):7.3f} ms"
            f"   p99 {median(generator, 'p99'):7.2f} ms   server's mean {median(generator, 'server'):6.3f} ms"
            f"   errors {median(generator, 'errors'):.0f}"
        )
    ratios = {figure: median("loadgen", figure) / median("ghz", figure) for figure in ("p50", "rate")}
    valid = sum(result["valid"] for result in results["loadgen"])
    print(
        f"  loadgen/ghz: p50 {ratios['p50']:.3f}, throughput {ratios['rate']:.3f};"
        f" {valid} of {options.rounds} valid",
        flush=True,
    )
    return min(median(generator, "rate") for generator in results)


def run(options, command):
    """What a generator printed."""
    pinned = ["taskset", "-c", options.cores] if options.cores else []
    return subprocess.run([*pinned, *command], capture_output=True, text=True, check=True).stdout


def ghz(options, load):
    """One run of ghz, times in milliseconds."""
    user = f"{{{{randomInt 1 {options.users + 1}}}}}"
    data = json.dumps({"user_id": user, "k": 10})
    command = [options.ghz, "--insecure", "--call", CALL, "-d", data, "-O", "json"]
    document = json.loads(run(options, [*command, "-z", f"{options.seconds}s", *load, options.target]))
    quantiles = {entry["percentage"]: entry["latency"] / 1e6 for entry in document["latencyDistribution"]}
    return {
        "rate": document["rps"],
        "p50": quantiles[50],
        "p99": quantiles[99],
        "errors": sum(document.get("errorDistribution", {}).values()),
    }


def loadgen(options, load):
    """One run of marquee-loadgen, in the same terms."""
    command = [options.loadgen, "run", "--target", f"http://{options.target}", "--progress", "none"]
    draw = ["--users", f"1-{options.users}", "--zipf", "0", "--warmup", "0s"]
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        run(options, [*command, *draw, "--duration", f"{options.seconds}s", "--json", file.name, *load])
        document = json.load(file)
    return {
        "rate": document["throughput"],
        "p50": document["latency_ms"]["p50"],
        "p99": document["latency_ms"]["p99"],
        "errors": document["errors"],
        "valid": document["valid"],
    }


def server_time(options):
    """Seconds and calls of Recommend that the server has counted, if its metrics can be read."""
    if not options.metrics:
        return None
    page = urllib.request.urlopen(options.metrics).read().decode()

    def total(series):
        lines = (line for line in page.splitlines() if line.startswith(series) and "Recommend" in line)
        return sum(float(line.split()[-1]) for line in lines)

    return total(f"{SERVER_TIME}_sum"), total(f"{SERVER_TIME}_count")


if __name__ == "__main__":
    main()
