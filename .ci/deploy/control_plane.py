"""What a real API server of Kubernetes says of overlays and chart: etcd and it, without a cluster.

Debian brings etcd. The API server and kubectl are built from Go's proxy, once a machine, which takes
minutes. The server checks what schemas do not: limits below requests, ports, contradictions.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from live import PATIENCE, Program, free_port
from manifests import CHARTS, rendering

VERSION = "1.37.2"
PROGRAMS = ("kube-apiserver", "kubectl")
TOKEN = "of-this-run"  # of a server on loopback that ends with the check
# The kind of another's that deploy/ has, as the server is told of it.
SERVICE_MONITOR = Path(__file__).parent / "service-monitor.yaml"
# What the server must refuse, or it checks nothing: a piece of the overlay for clusters, and what is put
# there.
WRONG = {
    "a field that is none": ("  maxReplicas: 12\n", "  maxReplicas: 12\n  mostReplicas: 12\n"),
    "a request above its limit": (
        'requests:\n            cpu: "2"\n            memory: 1Gi',
        "requests:\n            memory: 9Gi",
    ),
    "a port that is none": ("port: 9142", "port: 99142"),
    "two bounds of a disruption": (
        "  maxUnavailable: 1\n  selector",
        "  maxUnavailable: 1\n  minAvailable: 1\n  selector",
    ),
    "an autoscaler of a version that is gone": ("autoscaling/v2\n", "autoscaling/v2beta2\n"),
}


def built(cache: Path) -> Path:
    """The folder with both programs, which are built when they are not there."""
    folder = cache / f"kubernetes-{VERSION}"
    programs = folder / "bin"
    if all((programs / name).exists() for name in PROGRAMS):
        return programs
    folder.mkdir(parents=True, exist_ok=True)
    module = f"k8s.io/kubernetes@v{VERSION}"
    said = subprocess.run(
        ["go", "mod", "download", "-json", module], cwd=folder, check=True, capture_output=True, text=True
    )
    original = Path(json.loads(said.stdout)["GoMod"]).read_text()
    parts = re.findall(r"(k8s\.io/[\w-]+) => \./staging", original)
    go = re.findall(r"(?m)^go (\S+)$", original)[0]
    replaced = "".join(f"replace {part} => {part} v0.{VERSION.partition('.')[2]}\n" for part in parts)
    text = f"module controlplane\n\ngo {go}\n\nrequire k8s.io/kubernetes v{VERSION}\n\n{replaced}"
    (folder / "go.mod").write_text(text)
    imports = "".join(f'import _ "k8s.io/kubernetes/cmd/{name}"\n' for name in PROGRAMS)
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\n{imports}")
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in PROGRAMS]
    for command in (["go", "mod", "tidy"], ["go", "build", "-o", f"{programs}/", *packages]):
        subprocess.run(command, cwd=folder, check=True, env=environment, stderr=subprocess.DEVNULL)
    return programs


@dataclass(frozen=True)
class Cluster:
    """An API server that listens, and how it is spoken to."""

    kubectl: Path
    configuration: Path

    def ran(self, *command: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """What came of a program that speaks to it."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.configuration),
            "HOME": str(self.configuration.parent),
        }
        return subprocess.run(
            command, input=given, env=environment, capture_output=True, text=True, check=False
        )

    def applied(self, text: str, *options: str) -> str:
        """What it says against these resources: refusals and warnings."""
        result = self.ran(self.kubectl, "apply", *options, "-f", "-", given=text)
        return result.stderr.strip() or (result.stdout.strip() if result.returncode else "")

    def against(self, text: str) -> str:
        """The same, of resources that are only tried."""
        return self.applied(text, "--dry-run=server", "--validate=strict")


@contextmanager
def control_plane(programs: Path, folder: Path) -> Iterator[Cluster]:
    """etcd and an API server on loopback, which end with the block."""
    store, peers, port = (free_port() for _ in range(3))
    with ExitStack() as stack:
        own = f"http://127.0.0.1:{peers}"
        etcd: list[str | Path] = ["etcd", "--data-dir", folder / "etcd"]
        etcd += [
            f"--listen-client-urls=http://127.0.0.1:{store}",
            f"--advertise-client-urls=http://127.0.0.1:{store}",
        ]
        etcd += [
            f"--listen-peer-urls={own}",
            f"--initial-advertise-peer-urls={own}",
            f"--initial-cluster=default={own}",
        ]
        keeper = Program(folder, "etcd", etcd)
        stack.callback(keeper.end)
        keeper.ready(f"http://127.0.0.1:{store}/health")
        key = folder / "accounts.pem"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        server = Program(
            folder,
            "kube-apiserver",
            [
                programs / "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{store}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={folder}/certificates",
                "--endpoint-reconciler-type=none",
                "--allow-privileged=true",
                "--disable-admission-plugins=ServiceAccount,Priority",
                f"--token-auth-file={folder}/tokens.csv",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://localhost",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                "--service-cluster-ip-range=10.0.0.0/24",
            ],
        )
        stack.callback(server.end)
        configuration = folder / "kubeconfig.json"
        place = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        said = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": place}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "current-context": "here",
        }
        configuration.write_text(json.dumps(said))
        cluster = Cluster(programs / "kubectl", configuration)
        limit = time.monotonic() + PATIENCE
        while cluster.ran(cluster.kubectl, "get", "--raw=/readyz").returncode:
            if time.monotonic() > limit or server.process.poll() is not None:
                sys.exit(f"kube-apiserver: not ready:\n{server.log.read_text()[-4000:]}")
            time.sleep(0.5)
        yield cluster


def findings(deploy: Path, cache: Path, tools: Path) -> Iterator[str]:
    """What the API server has against each overlay and each way to render the chart."""
    programs = built(cache)
    with TemporaryDirectory() as name, control_plane(programs, Path(name)) as cluster:
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": "marquee",
                "labels": {
                    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")
                },
            },
        }
        for resource in (json.dumps(namespace), SERVICE_MONITOR.read_text()):
            if said := cluster.applied(resource):
                sys.exit(f"kube-apiserver: {said}")
        waited = cluster.ran(
            cluster.kubectl, "wait", "--for=condition=Established", f"--timeout={PATIENCE}s", "crd", "--all"
        )
        if waited.returncode:
            sys.exit(waited.stderr)
        yield from overlays(cluster, deploy, tools / "kustomize")
        yield from charts(cluster, deploy, tools / "helm")


def overlays(cluster: Cluster, deploy: Path, kustomize: Path) -> Iterator[str]:
    """What it has against them, and what it should have against those that were made wrong."""
    for overlay in sorted((deploy / "kubernetes/overlays").iterdir()):
        text = cluster.ran(kustomize, "build", overlay).stdout
        first_key = overlay / "first-key.yaml"
        if first_key.exists():
            text += f"---\n{first_key.read_text()}"
        if said := cluster.against(text):
            yield f"kubernetes/overlays/{overlay.name}: {said}"
    text = cluster.ran(kustomize, "build", deploy / "kubernetes/overlays/cluster").stdout
    for name, (piece, put) in WRONG.items():
        if piece not in text:
            yield f"the overlay for clusters no longer has {piece!r}: {name} is not tried"
        elif not cluster.against(text.replace(piece, put, 1)):
            yield f"the API server takes {name}"


def charts(cluster: Cluster, deploy: Path, helm: Path) -> Iterator[str]:
    """What it has against the chart, by kubectl and by Helm itself."""
    chart = deploy / "helm/marquee"
    for name, values in CHARTS.items():
        if said := cluster.against(cluster.ran(*rendering(helm, chart), *values).stdout):
            yield f"helm {name}: {said}"
        tried = cluster.ran(helm, "install", "marquee", chart, "-n", "marquee", "--dry-run=server", *values)
        if tried.returncode or "Warning" in tried.stderr:
            yield f"helm install {name}: {tried.stderr.strip()}"
