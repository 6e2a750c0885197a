"""That image, Compose, Swarm, Kubernetes and chart are well formed, and say what the server understands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import yaml
from settings import Setting

KUBERNETES = "1.37"
# Kinds that Kubernetes does not bring along, whose schemas are not at hand.
FOREIGN = {"ServiceMonitor"}
VENV = Path(sys.executable).parent

# What the chart is rendered with: one node, a cluster, and one on GPUs.
CHARTS: dict[str, list[str]] = {
    "single": [],
    "cluster": ["--set", "store.kind=cql", "--set", "serviceMonitor.enabled=true"],
    "gpu": [
        "--set",
        "store.kind=cql",
        "--set",
        "gpu.enabled=true",
        "--set",
        "workers=8",
        "--set",
        "resources.requests.cpu=8",
    ],
}
# Values that the chart's schema must refuse.
REFUSED = [
    "workers=none",
    "store.kind=sqlite",
    "no.such=value",
    "settings.PATH=x",
    "autoscaling.queueWait=fast",
]


def ran(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What came of a program."""
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def image(folder: Path) -> Iterator[str]:
    """What hadolint finds."""
    result = ran(VENV / "hadolint", "--no-color", folder / "Containerfile")
    if result.returncode:
        yield from (result.stdout + result.stderr).splitlines()


def seconds(text: str) -> float:
    """A time as settings and Compose write it: 10s, 1m30s, 250ms."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text))


def grace(place: str, environment: dict[str, str], given: float) -> Iterator[str]:
    """That whoever stops the server waits for longer than it may take."""
    needed = seconds(environment.get("MARQUEE_DRAIN_DELAY", "0s"))
    needed += seconds(environment.get("MARQUEE_SHUTDOWN_TIMEOUT", "10s"))
    if given <= needed:
        yield f"{place}: is killed after {given:g} s; drain-delay and shutdown-timeout may take {needed:g} s"


def coherence(place: str, environment: dict[str, str], known: list[Setting]) -> Iterator[str]:
    """That each variable is a setting, and that the server would start with them."""
    variables = {setting.variable for setting in known} | {"MARQUEE_CONFIG"}
    for name in environment:
        if name.startswith("MARQUEE_") and name not in variables:
            yield f"{place}: {name} is no setting"
    open_to_others = environment.get("MARQUEE_LISTEN", "127.0.0.1").startswith("0.0.0.0")
    has_tls = {"MARQUEE_TLS_CERT", "MARQUEE_TLS_TERMINATED_BY"} & environment.keys()
    if open_to_others and not has_tls:
        yield f"{place}: listens beyond the machine without TLS, the server would refuse to start"
    elif open_to_others and environment.get("MARQUEE_AUTH") != "on":
        yield f"{place}: listens beyond the machine without auth, the server would refuse to start"


def compose(folder: Path, known: list[Setting]) -> Iterator[str]:
    """Compose's file in each combination of profiles, and the stack of Swarm."""
    for file, profiles in [("compose.yaml", ["cluster", "observability", "setup"]), ("swarm.yaml", [])]:
        command: list[str | Path] = [VENV / "docker-compose", "--env-file", "/dev/null", "-f", folder / file]
        for profile in ["", *profiles]:
            chosen = ["--profile", profile] if profile else []
            result = ran(*command, *chosen, "config", "-q", COMPOSE_DISABLE_ENV_FILE="1")
            if result.returncode:
                yield f"{file} {profile}: {result.stderr.strip()}"
        chosen = [word for profile in profiles for word in ("--profile", profile)]
        result = ran(*command, *chosen, "config", "--format", "json")
        if result.returncode:
            return
        for name, service in json.loads(result.stdout)["services"].items():
            environment = service.get("environment") or {}
            if "MARQUEE_LISTEN" in environment:
                yield from coherence(f"{file} {name}", environment, known)
                yield from grace(f"{file} {name}", environment, seconds(service["stop_grace_period"]))
            if not service.get("read_only") and "marquee" in service["image"]:
                yield f"{file} {name}: may write to its root"


def resources(text: str) -> list[dict[str, Any]]:
    """The documents of a file of Kubernetes."""
    return [document for document in yaml.safe_load_all(text) if document]


def valid(place: str, documents: list[dict[str, Any]]) -> Iterator[str]:
    """What does not fit the schemas of Kubernetes."""
    for document in documents:
        kind = document["kind"]
        if kind in FOREIGN:
            print(f"{place}: {kind} has no schema here and is not checked")
            continue
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{place}: {kind} {document['metadata']['name']}: {error.message}"


def pods(place: str, documents: list[dict[str, Any]], known: list[Setting]) -> Iterator[str]:
    """What a Deployment says that does not fit its settings."""
    settings = [document["data"] for document in documents if document["kind"] == "ConfigMap"]
    for document in documents:
        if document["kind"] != "Deployment":
            continue
        environment = {name: value for some in settings for name, value in some.items()}
        if not environment:
            yield f"{place}: has no settings"
        spec = document["spec"]["template"]["spec"]
        yield from coherence(place, environment, known)
        yield from grace(place, environment, spec["terminationGracePeriodSeconds"])
        cpu = int(spec["containers"][0]["resources"]["requests"]["cpu"])
        if int(environment["MARQUEE_WORKERS"]) != cpu:
            yield f"{place}: {environment['MARQUEE_WORKERS']} workers, and {cpu} CPUs are requested"


def pieces(folder: Path) -> Iterator[str]:
    """The files of Kubernetes that are whole resources, each for itself."""
    for file in sorted((folder / "kubernetes").rglob("*.yaml")):
        if file.name.startswith(("kustomization", "patch-")) or file.name == "adapter-rules.yaml":
            continue
        yield from valid(str(file.relative_to(folder)), resources(file.read_text()))


def kustomized(folder: Path, kustomize: Path, known: list[Setting]) -> Iterator[str]:
    """Each overlay, built."""
    for overlay in sorted((folder / "kubernetes/overlays").iterdir()):
        place = f"kubernetes/overlays/{overlay.name}"
        result = ran(kustomize, "build", overlay)
        if result.returncode:
            yield f"{place}: {result.stderr.strip()}"
            continue
        documents = resources(result.stdout)
        yield from valid(place, documents)
        yield from pods(place, documents, known)


def rendering(helm: Path, chart: Path) -> list[str | Path]:
    """The command that renders the chart, to which values are added."""
    cluster: list[str | Path] = ["--namespace", "marquee", "--kube-version", f"{KUBERNETES}.0"]
    return [helm, "template", "marquee", chart, *cluster]


def charts(folder: Path, helm: Path, known: list[Setting], version: str) -> Iterator[str]:
    """The chart: linted, rendered in each way, and held against its schema."""
    chart = folder / "helm/marquee"
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    if str(about["appVersion"]) != version:
        yield f"Chart.yaml: appVersion is {about['appVersion']}, the server's version is {version}"
    result = ran(helm, "lint", "--strict", chart)
    if result.returncode:
        yield f"helm lint: {result.stdout.strip()}"
    rendered = rendering(helm, chart)
    for name, values in CHARTS.items():
        result = ran(*rendered, *values)
        if result.returncode:
            yield f"helm template {name}: {result.stderr.strip()}"
            continue
        documents = resources(result.stdout)
        yield from valid(f"helm {name}", documents)
        yield from pods(f"helm {name}", documents, known)
    for value in REFUSED:
        if ran(*rendered, "--set", value).returncode == 0:
            yield f"helm template: takes {value}, which its schema should refuse"


def kin(folder: Path, kustomize: Path, helm: Path) -> Iterator[str]:
    """Where the chart and the overlays say different things of the same pod."""
    built = resources(ran(kustomize, "build", folder / "kubernetes/overlays/single").stdout)
    rendered = resources(ran(*rendering(helm, folder / "helm/marquee")).stdout)
    one, other = (shape(documents) for documents in (built, rendered))
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield f"{name}: {one.get(name)} by Kustomize, {other.get(name)} by Helm"


def shape(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """What of a pod and its settings should not depend on the tool."""
    by_kind = {document["kind"]: document for document in documents}
    spec = by_kind["Deployment"]["spec"]["template"]["spec"]
    container = spec["containers"][0]
    found = dict(by_kind["ConfigMap"]["data"])
    for name in (
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
        "resources",
        "securityContext",
        "ports",
        "volumeMounts",
    ):
        found[name] = container[name]
    for name in ("securityContext", "terminationGracePeriodSeconds", "enableServiceLinks", "volumes"):
        found[f"pod {name}"] = spec[name]
    return found
