"""The image, built without a daemon and run as deploy/README.md says: certificates, a key, an answer.

As root, with mmdebstrap, buildah, podman and runc. No registry of images is asked: bases are minimal Debians
made here, that of the first stage with this machine's Rust, that for CUDA with libraries from NVIDIA's
packages of Python. The programs are built before, or by the image's own first stage.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy2
from tempfile import TemporaryDirectory

from parts import FILES, made

BASE, BUILD_BASE, CUDA_BASE = (f"localhost/marquee-{name}" for name in ("base", "build-base", "cuda-base"))
IMAGE = "localhost/marquee"
# What ONNX Runtime needs on a GPU besides the driver, of one version of CUDA.
CUDA = ("nvidia-cuda-runtime==13.0.96", "nvidia-cublas==13.0.2.14", "nvidia-curand==10.4.0.35")
CUDA_FOLDER = "/opt/cuda/nvidia/cu13/lib"
PATIENCE = 120
# As a cautious operator would: nothing is writable but the volumes, no rights, no network but loopback.
CLOSED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=none"]
CLOSED += ["--ulimit=nofile=20000:20000", "--ulimit=nproc=4096:4096"]
SERVES = {
    "MARQUEE_LISTEN": "0.0.0.0:50051",
    "MARQUEE_METRICS_LISTEN": "0.0.0.0:9464",
    "MARQUEE_TLS_CERT": "/tls/server.pem",
    "MARQUEE_TLS_KEY": "/tls/server-key.pem",
    "MARQUEE_AUTH": "on",
    "MARQUEE_SAMPLE_DATA": "bundled",
}


class Engine:
    """podman and buildah with a storage of their own."""

    def __init__(self, folder: Path):
        self.storage = ["--storage-driver=overlay", f"--root={folder}/root", f"--runroot={folder}/run"]

    def podman(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """What came of it."""
        quiet = ["--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file"]
        command = ["podman", *self.storage, *quiet, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def must(self, *arguments: str | Path) -> str:
        """Its output, where it has to succeed."""
        result = self.podman(*arguments)
        if result.returncode:
            raise RuntimeError(f"podman {' '.join(map(str, arguments))}: {result.stderr or result.stdout}")
        return result.stdout.strip()

    def imported(self, root: Path, name: str, *changes: str) -> None:
        """An image of this root."""
        self.must("import", *(f"--change={change}" for change in changes), root, name)

    def build(self, repository: Path, **chosen: str) -> None:
        """The image, with these arguments."""
        arguments = [f"--build-arg={name}={value}" for name, value in chosen.items()]
        file = repository / "deploy/Containerfile"
        command = ["buildah", *self.storage, "bud", "--isolation=chroot", "--format=docker", *arguments]
        command += ["--ignorefile", f"{file}.dockerignore", "-f", str(file), "-t", IMAGE, str(repository)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"the image is not built:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")


def debian(cache: Path, name: str, packages: str, *hooks: str) -> Path:
    """The root of a minimal Debian with these packages, made once."""
    file = cache / f"debian-bookworm-{name}.tar"
    if not file.exists():
        part = file.with_suffix(".part.tar")
        command: list[str | Path] = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}"]
        command += [f"--customize-hook={hook}" for hook in hooks]
        subprocess.run([*command, "bookworm", part], check=True)
        part.rename(file)
    return file


def base(cache: Path) -> Path:
    """What the image runs on."""
    return debian(cache, "minbase", "ca-certificates")


def build_base(cache: Path) -> Path:
    """What compiles: this machine's Rust, and its authorities, which those of its registries may be."""
    said = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True)
    sysroot = Path(said.stdout.strip()).resolve()
    parts = " ".join(f"{sysroot}/{part}" for part in ("bin", "lib"))
    return debian(
        cache,
        "rust",
        "ca-certificates,gcc,g++,make,cmake,python3-pip",
        'mkdir -p "$1/usr/local/rust"',
        f"copy-in {parts} /usr/local/rust",
        "upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
    )


def cuda_base(cache: Path) -> Path:
    """What the image for CUDA runs on."""
    folder = cache / "cuda"
    if not folder.exists():
        part = cache / "cuda.part"
        command: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", part, *CUDA], check=True)
        part.rename(folder)
    return debian(
        cache,
        "cuda",
        "ca-certificates",
        f"copy-in {folder} /opt",
        f'echo {CUDA_FOLDER} > "$1/etc/ld.so.conf.d/cuda.conf"',
        'chroot "$1" ldconfig',
    )


def findings(repository: Path, program: Path, cache: Path) -> Iterator[str]:
    """What is wrong with the image of programs that were built before, in the folder of this one."""
    programs = repository / "target/image"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("marquee-server", "marquee"):
        copy2(program.parent / name, programs / name)
    written = made(repository, programs)
    with engine() as (some, folder):
        some.imported(base(cache), BASE)
        some.build(repository, BUILD_BASE=BASE, BASE=BASE, PROGRAMS="prebuilt", DEVICE="cpu")
        yield from one_node(some, folder, written)


def compiled(repository: Path, cache: Path) -> Iterator[str]:
    """What is wrong with the images whose first stage compiles the programs: for the CPU, and for CUDA."""
    with engine() as (some, folder):
        some.imported(base(cache), BASE)
        some.imported(
            build_base(cache), BUILD_BASE, "ENV PATH=/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin"
        )
        chosen = {"BUILD_BASE": BUILD_BASE, "PROGRAMS": "build"}
        some.build(repository, BASE=BASE, DEVICE="cpu", **chosen)
        yield from one_node(some, folder, made(repository, folder / "outside"))
        some.must("rm", "--force", "--volumes", "node")
        some.must("volume", "rm", "data", "tls")
        some.imported(cuda_base(cache), CUDA_BASE)
        some.build(repository, BASE=CUDA_BASE, DEVICE="cuda", **chosen)
        yield from linked(some)


@contextmanager
def engine() -> Iterator[tuple[Engine, Path]]:
    """An engine in a folder of its own, which goes with it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        some = Engine(folder)
        try:
            yield some, folder
        finally:
            some.podman("system", "reset", "--force")


def linked(some: Engine) -> Iterator[str]:
    """Libraries that ONNX Runtime's provider for CUDA does not find in the image, but for the driver's."""
    library = "/usr/local/lib/libonnxruntime_providers_cuda.so"
    said = some.must("run", "--rm", *CLOSED, "--entrypoint=ldd", IMAGE, library)
    print(f"  the provider for CUDA needs {len(said.splitlines())} libraries")
    for line in said.splitlines():
        if "not found" in line and not line.strip().startswith("libcuda.so.1 "):
            yield f"the image for CUDA lacks {line.strip()}"


def one_node(engine: Engine, folder: Path, parts: tuple[str, str]) -> Iterator[str]:
    """The way of deploy/README.md to one node, and its end; the image should hold this list of parts."""
    about = json.loads(engine.must("image", "inspect", IMAGE))[0]
    if about["User"] != "65532:65532" or "Healthcheck" not in about:
        yield f"the image's user is {about['User']}, its health check {about.get('Healthcheck')}"
    volumes = ["-v", "data:/data", "-v", "tls:/tls"]
    once = ["run", "--rm", *CLOSED, *volumes, IMAGE]
    engine.must(*once, "tls", "dev", "--dir", "/tls")
    key = engine.must(*once, "access", "create-key", "ops", "--role", "admin").splitlines()[-1]
    settings = [f"--env={name}={value}" for name, value in SERVES.items()]
    engine.must("run", "--detach", "--name=node", *CLOSED, *volumes, *settings, IMAGE)
    limit = time.monotonic() + PATIENCE
    while engine.podman("exec", "node", "marquee-server", "health").returncode:
        if time.monotonic() > limit:
            yield f"not healthy:\n{engine.podman('logs', 'node').stderr[-3000:]}"
            return
        time.sleep(0.5)
    call = ["exec", "--env=MARQUEE_SERVER=https://localhost:50051", "--env=MARQUEE_TLS_CA=/tls/ca.pem"]
    if engine.podman(*call, "node", "marquee", "recommend", "1").returncode == 0:
        yield "who shows no key is answered"
    if "recommendations" not in engine.must(
        *call, f"--env=MARQUEE_API_KEY={key}", "node", "marquee", "recommend", "1"
    ):
        yield "no recommendation is answered"
    began = time.monotonic()
    engine.must("stop", "--time=40", "node")
    code = engine.must("wait", "node")
    print(f"  built and run; it ended after {time.monotonic() - began:.1f} s with exit code {code}")
    if code != "0":
        yield f"SIGTERM ends it with exit code {code}"
    engine.must("cp", "node:/usr/local/share/marquee", folder / "parts")
    if tuple((folder / "parts" / file).read_text() for file in FILES) != parts:
        yield "the image does not hold the list of its parts and their licences"
