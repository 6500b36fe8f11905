#!/usr/bin/env bash
# Set up $VENV with the tested stack; called by make. Each step leaves a stamp,
# so that a second run is quick and an interrupted one goes on where it stopped.
set -euo pipefail

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$HERE")
NEEDED_GB=12

fail() {
    echo "mmvlfusion: $*" >&2
    exit 1
}

check_machine() {
    "$PYTHON" -c '' 2>/dev/null ||
        fail "cannot run the interpreter '$PYTHON'; choose one with PYTHON=."
    "$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' ||
        fail "$("$PYTHON" --version 2>&1) is not supported; choose Python 3.10 to 3.12 with PYTHON=."
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "'$PYTHON' has no venv module; install it (on Debian: python3-venv)."
    command -v "${CXX:-c++}" >/dev/null ||
        fail "no C++ compiler '${CXX:-c++}', which mmcv's operators need; install one (on Debian: g++)."
    if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1 &&
        ! command -v nvcc >/dev/null && [ ! -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
        fail "there is a GPU but no nvcc, which mmcv's operators need; install the CUDA toolkit or set CUDA_HOME."
    fi
    local free used
    free=$(df -Pk "$(dirname "$VENV")" | awk 'NR == 2 {print int($4 / 1048576)}')
    used=$(du -sk "$VENV" 2>/dev/null | awk '{print int($1 / 1048576)}') || used=0
    [ $((free + used)) -ge "$NEEDED_GB" ] ||
        fail "$free GB are free for $VENV, but $NEEDED_GB are needed; make room or choose another folder with VENV=."
}

# install NAME PIP_ARGUMENT...: run pip, unless it ran for the same arguments,
# requirements and metadata already.
install() {
    local name=$1 stamp="$VENV/.stamps/$1" log="$VENV/$1.log" state
    shift
    state=$(cd "$ROOT" && { echo "$@"; cat $(printf '%s\n' "$@" setup.cfg | grep -E '\.(txt|cfg)$'); } 2>/dev/null | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] && return
    checked=${checked:-$(check_machine && echo yes)}
    [ "$checked" = yes ] || exit 1
    echo "Installing $name ..."
    if ! (cd "$ROOT" && "$PIP" install --disable-pip-version-check "$@") >"$log" 2>&1; then
        explain "$name" "$log"
    fi
    echo "$state" >"$stamp"
}

explain() {
    if grep -qiE 'no space left' "$2"; then
        fail "no space is left on the disk while installing $1; make room and run make again."
    elif grep -qiE 'connection|resolve|timed out|network|retrying|from versions: none' "$2"; then
        fail "the package index cannot be reached while installing $1; check the network (or pip's settings) and run make again."
    fi
    fail "installing $1 failed: $(grep -iE 'error' "$2" | tail -n 1) (all of it: $2)"
}

case $VENV in /*) ;; *) VENV=$ROOT/$VENV ;; esac
PIP=$VENV/bin/pip
if [ ! -x "$PIP" ]; then
    check_machine
    checked=yes
    "$PYTHON" -m venv "$VENV" || fail "cannot create the environment $VENV."
fi
mkdir -p "$VENV/.stamps"

install torch -r requirements/torch.txt
install build -r requirements/build.txt
# Without debugging symbols the operators compile in half the time.
CFLAGS=-g0 install mmcv --no-build-isolation -r requirements/mmcv.txt
install hosts --no-build-isolation -r requirements/hosts.txt -r requirements/multimodal.txt
install tests -r requirements/tests.txt -r requirements/lint.txt
install mmvlfusion --no-build-isolation --no-deps -e .
