"""Checks everything in deploy/ that a machine can check without a cluster.

    python3 .ci/deploy       files alone: image, Compose, Swarm, Kubernetes, alerts, dashboards, runbook
      --server PROGRAM       also what needs a server: every query of the dashboards, of a Prometheus that
                             reads one under load, and the proxies before two
      --restarts NUMBER      of servers behind each proxy, under load, without a lost call
      --behind FILE          the restarts are behind this proxy alone
      --go-tools FOLDER      with kustomize and helm of this folder: overlays and chart, as they are built
      --control-plane FOLDER also asks a real API server what it has against overlays and chart; the folder
                             keeps its programs, which are built there the first time
      --provoke              alerts fire for real, of servers to which is done what they are about
      --image FOLDER         also builds an image of these programs and runs it, without a daemon; the folder
                             keeps its base
      --compile FOLDER       builds the images for the CPU and for CUDA by their own first stage, in more than
                             half an hour, and runs the first; no other checks; the folder keeps their bases
      --write-env            no checks: makes deploy/.env.example anew

`promtool`, `prometheus`, `haproxy` and `nginx` come from the system; Compose, hadolint, Envoy and the schemas
of Kubernetes are packages of Python. A finding is a line; the exit code is 1 when there is one.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import container
import control_plane
import live
import manifests
import metrics
import parts
import provoke
import proxies
from settings import example, settings

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"


def stale() -> Iterator[str]:
    """Whether deploy/.env.example is what the settings make of it."""
    text = "".join(example(settings(REPOSITORY / "server/CONFIGURATION.md")))
    file = DEPLOY / ".env.example"
    if not file.exists() or file.read_text() != text:
        yield "deploy/.env.example: is not what the settings make; run `python3 .ci/deploy --write-env`"


def promtool() -> Iterator[str]:
    """The syntax of rules and configuration, and the tests of the alerts."""
    folder = DEPLOY / "prometheus"
    for command in (
        ["promtool", "check", "rules", "alerts.yaml"],
        ["promtool", "check", "config", "prometheus.yaml"],
        ["promtool", "test", "rules", "alerts.test.yaml"],
    ):
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode:
            yield f"{' '.join(command)}:\n{result.stdout}{result.stderr}"


def version() -> str:
    """The server's version."""
    found = re.search(r'(?m)^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text())
    return found[1] if found else sys.exit("Cargo.toml has no version")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", type=Path, help="a built marquee-server, with marquee-loadgen beside it")
    parser.add_argument("--go-tools", type=Path, help="folder with kustomize and helm")
    parser.add_argument("--restarts", type=int, default=0, help="of servers behind each proxy, under load")
    parser.add_argument("--control-plane", type=Path, help="folder that keeps the programs of Kubernetes")
    parser.add_argument("--behind", help="the proxy behind which servers are restarted; all when absent")
    parser.add_argument("--provoke", action="store_true", help="do to servers what alerts are about")
    parser.add_argument("--image", type=Path, help="folder that keeps the base of the image that is built")
    parser.add_argument("--compile", type=Path, help="folder that keeps the bases of the images")
    parser.add_argument("--write-env", action="store_true", help="make deploy/.env.example anew")
    return parser.parse_args()


def checks(given: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Iterable[str]]]]:
    """What is to be checked, by name."""
    if given.compile:
        yield "images", lambda: container.compiled(REPOSITORY, given.compile)
        return
    known = settings(REPOSITORY / "server/CONFIGURATION.md")
    yield ".env.example", stale
    yield "metrics that are asked for", lambda: metrics.names_that_do_not_exist(REPOSITORY)
    yield "runbook", lambda: metrics.pages(REPOSITORY)
    yield "dashboards", lambda: metrics.dashboards(REPOSITORY)
    yield "alerts", promtool
    yield "image", lambda: manifests.image(DEPLOY)
    yield "parts and licences", lambda: parts.findings(REPOSITORY)
    yield "Compose and Swarm", lambda: manifests.compose(DEPLOY, known)
    yield "Kubernetes", lambda: manifests.pieces(DEPLOY)
    if given.go_tools and (given.go_tools / "helm").exists() and (given.go_tools / "kustomize").exists():
        kustomize, helm = given.go_tools / "kustomize", given.go_tools / "helm"
        yield "overlays", lambda: manifests.kustomized(DEPLOY, kustomize, known)
        yield "chart", lambda: manifests.charts(DEPLOY, helm, known, version())
        yield "chart and overlays", lambda: manifests.kin(DEPLOY, kustomize, helm)
        if given.control_plane:
            yield "API server", lambda: control_plane.findings(DEPLOY, given.control_plane, given.go_tools)
    else:
        print("overlays and chart: not built, for want of kustomize and helm, which `.ci/full deploy` has")
    if given.server:
        yield "queries", lambda: live.queries_without_answer(REPOSITORY, given.server.resolve())
        yield (
            "proxies",
            lambda: proxies.findings(REPOSITORY, given.server.resolve(), given.restarts, given.behind),
        )
    if given.server and given.provoke:
        yield "alerts that fire", lambda: provoke.findings(REPOSITORY, given.server.resolve())
    if given.server and given.image:
        yield "container", lambda: container.findings(REPOSITORY, given.server.resolve(), given.image)


def main() -> None:
    """Prints what is found."""
    given = arguments()
    if given.write_env:
        found = settings(REPOSITORY / "server/CONFIGURATION.md")
        (DEPLOY / ".env.example").write_text("".join(example(found)))
        return
    count = 0
    for name, check in checks(given):
        began = time.monotonic()
        try:
            findings = list(check())
        except RuntimeError as error:  # what a program said that had to succeed
            findings = [str(error)]
        print(f"{name}: {len(findings)} findings in {time.monotonic() - began:.1f} s", flush=True)
        for finding in findings:
            print(f"  {finding}", flush=True)
        count += len(findings)
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
