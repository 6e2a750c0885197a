# What `.ci/check`, `.ci/run` and `.ci/full` share: sections and their summary, tools, and the checks of more than
# one of them. Sourced, from any folder; goes to the root of the repository.
#
# Tools come from package registries into a cache folder outside the clone. A section that fails does not stop the
# others; `summary` ends the script with what each took and 1 if one failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache="${MARQUEE_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/marquee-ci}"
mkdir -p "$cache"
export CARGO_TERM_COLOR=never
python="$cache/venv/bin/python"
failed=()
times=()
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

log_of() { echo "$logs/${1// /-}.log"; }

section() { # NAME COMMAND...: runs a section, remembers how long it took and whether it failed
  local name=$1 log began outcome=passed
  shift
  log=$(log_of "$name")
  began=$SECONDS
  printf '\n===== %s\n' "$name"
  "$@" > >(tee "$log") 2>&1 || outcome=FAILED
  wait $! # tee, so that the log is whole
  if [ "${CI:-}" = true ] && grep -qE "$SKIPPED" "$log"; then
    echo "a skipped test is a failure under CI=true"
    outcome=FAILED
  fi
  [ "$outcome" = passed ] || failed+=("$name")
  times+=("$(printf '%5d s  %-6s  %s' $((SECONDS - began)) "$outcome" "$name")")
  printf -- '----- %s: %s in %d s\n' "$name" "$outcome" $((SECONDS - began))
}

# How the tests of Rust and of Python begin the line that says that one was skipped.
SKIPPED='(^|[. ])skipped: .*|^SKIPPED .*'

not_on_this_machine() { # what no section can try here, for want of hardware
  nvidia-smi >/dev/null 2>&1 || echo "CUDA: kernels, streams and captured graphs (benches/gpu/run.py tries them)"
  grep -qw avx512_vnni /proc/cpuinfo 2>/dev/null || echo "the AVX-512 VNNI kernel of the scan"
  grep -qw avx512f /proc/cpuinfo 2>/dev/null || echo "the AVX-512 kernels of the encoder"
  grep -qw avx512_bf16 /proc/cpuinfo 2>/dev/null || echo "the AVX-512 BF16 kernels of the encoder"
  grep -qw amx_bf16 /proc/cpuinfo 2>/dev/null || echo "the AMX kernels of the encoder (their packing and tails are tried on an emulated unit)"
  grep -qw amx_int8 /proc/cpuinfo 2>/dev/null || echo "the AMX kernel of the scan (its packing and tails are tried on an emulated unit)"
  [ "$(uname -m)" = aarch64 ] || echo "the AArch64 kernel of the scan"
}

summary() { # prints the ends of the failed sections, the times of all and what was not run; exits
  local name
  for name in "${failed[@]}"; do
    printf '\n===== FAILED: %s\n' "$name"
    tail -n 60 "$(log_of "$name")" 2>/dev/null
  done
  printf '\n===== summary\n'
  printf '%s\n' "${times[@]}"
  cat "$logs"/*.log | grep -oE "$SKIPPED" | sed 's/^[. ]//' | sort | uniq -c
  not_on_this_machine | sed 's/^/not on this machine: /'
  if [ ${#failed[@]} -gt 0 ]; then
    printf '%d failed in %d s: %s\n' "${#failed[@]}" "$SECONDS" "$(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
    exit 1
  fi
  printf 'all passed in %d s\n' "$SECONDS"
  exit 0
}

python_tools() {
  [ -x "$python" ] || python3 -m venv "$cache/venv" || return 1
  local wanted
  wanted=$(sha256sum onnx/pyproject.toml .ci/requirements.txt | sha256sum)
  [ "$(cat "$cache/venv/installed" 2>/dev/null)" = "$wanted" ] && return 0
  "$python" -m pip install --quiet --disable-pip-version-check -r .ci/requirements.txt || return 1
  echo "$wanted" > "$cache/venv/installed"
}

go_tool() { # PACKAGE VERSION: built once a machine, into $cache/go
  local built="$cache/go/${1//\//_}@$2"
  [ -e "$built" ] || { GOBIN="$cache/go" go install "$1@$2" && touch "$built"; }
}

deploy_tools() { # what reads the files of deploy/ in earnest
  by_apt prometheus promtool && by_apt haproxy haproxy && by_apt nginx-light nginx
}

image_tools() { # what builds and runs an image without a daemon
  by_apt mmdebstrap mmdebstrap && by_apt buildah buildah && by_apt podman podman && by_apt runc runc
}

by_apt() { # PACKAGE PROGRAM: there, or installed as root
  command -v "$2" >/dev/null && return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "install $1"; return 1; }
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$1"; } >/dev/null
}

cargo_tool() { # NAME VERSION: built once a machine; optimisation would cost more than it saves
  local name=$1 version=$2 root="$cache/$1"
  "$root/bin/$name" --version 2>/dev/null | grep -q " $version\$" && return 0
  CARGO_TARGET_DIR="$cache/$name-target" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
    cargo install --quiet --locked --root "$root" --version "$version" "$name" || return 1
  rm -rf "$cache/$name-target"
}

buf() { "$cache/venv/bin/buf" "$@"; }

lint() { cargo clippy --quiet --workspace --all-targets -- -D warnings; }

python_lint() {
  (cd onnx && "$cache/venv/bin/ruff" check . && "$cache/venv/bin/ruff" format --check .) &&
    "$cache/venv/bin/ruff" check --config onnx/pyproject.toml .ci benches/retrain client deploy &&
    "$cache/venv/bin/ruff" format --config onnx/pyproject.toml --check .ci benches/retrain client deploy
}

direction() { # imports go one way, and the check of it is right
  (cd .ci/direction && "$python" -m pytest -q -rs -p no:cacheprovider) && "$python" .ci/direction
}

python_types() { # of all but tests
  local mypy="$cache/venv/bin/mypy" folder modules
  (cd onnx && "$mypy" marquee_onnx) && "$mypy" --config-file onnx/pyproject.toml .ci/*.py deploy/*.py deploy/grafana/*.py || return 1
  for folder in .ci/*/ benches/retrain; do # programs of their own, with modules beside them
    mapfile -t modules < <(cd "$folder" && find . -name '*.py' -not -name 'test_*')
    [ ${#modules[@]} -eq 0 ] || (cd "$folder" && "$mypy" --config-file ../../onnx/pyproject.toml "${modules[@]}") || return 1
  done
}

python_tests() { # with what is given to pytest
  (cd onnx && OMP_NUM_THREADS=1 COVERAGE_FILE="$logs/coverage" "$python" -m pytest -q -rs "$@") &&
    (cd benches/retrain && "$python" -m pytest -q -rs -p no:cacheprovider)
}

readme_tests() {
  (cd .ci/readme && "$python" -m pytest -q -rs -p no:cacheprovider)
}
