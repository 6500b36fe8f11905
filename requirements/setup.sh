#!/usr/bin/env bash
# Install the tested versions of all packages into $VENV; called by make. Each
# step writes a stamp, so that the next run skips the finished steps.
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
        fail "cannot run the Python interpreter '$PYTHON': set PYTHON= to an interpreter."
    "$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' ||
        fail "$("$PYTHON" --version 2>&1) is not supported: set PYTHON= to Python 3.10, 3.11 or 3.12."
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "'$PYTHON' has no venv module: install it (on Debian: python3-venv)."
    command -v "${CXX:-c++}" >/dev/null ||
        fail "the C++ compiler '${CXX:-c++}' was not found, but the operators of mmcv need one: install it (on Debian: g++) or set CXX."
    if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1 &&
        ! command -v nvcc >/dev/null && [ ! -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
        fail "found a GPU but no nvcc, which the operators of mmcv need: install the CUDA toolkit or set CUDA_HOME."
    fi
    local free used
    free=$(df -Pk "$(dirname "$VENV")" | awk 'NR == 2 {print int($4 / 1048576)}')
    used=$(du -sk "$VENV" 2>/dev/null | awk '{print int($1 / 1048576)}') || used=0
    [ $((free + used)) -ge "$NEEDED_GB" ] ||
        fail "only $free GB of disk space are free for $VENV, but $NEEDED_GB GB are needed: free disk space or set VENV= to another folder."
}

# install NAME PIP_ARGUMENT...: run pip, unless it already ran with the same
# arguments, requirement files and setup.cfg.
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

# explain NAME LOG: print why pip failed, and stop.
explain() {
    if grep -qiE 'no space left' "$2"; then
        fail "no disk space left while installing $1: free disk space and run make again."
    elif grep -qiE 'connection|resolve|timed out|network|retrying|from versions: none' "$2"; then
        fail "cannot reach the package index while installing $1: check the network or the settings of pip and run make again."
    fi
    fail "installing $1 failed: $(grep -iE 'error' "$2" | tail -n 1) (full log: $2)"
}

case $VENV in /*) ;; *) VENV=$ROOT/$VENV ;; esac
PIP=$VENV/bin/pip
if [ ! -x "$PIP" ]; then
    check_machine
    checked=yes
    "$PYTHON" -m venv "$VENV" || fail "cannot create the virtual environment $VENV."
fi
mkdir -p "$VENV/.stamps"

install torch -r requirements/torch.txt
install build -r requirements/build.txt
# Without debug symbols the operators compile in half the time.
CFLAGS=-g0 install mmcv --no-build-isolation -r requirements/mmcv.txt
install hosts --no-build-isolation -r requirements/hosts.txt -r requirements/multimodal.txt
install tests -r requirements/tests.txt -r requirements/lint.txt -r requirements/docs.txt
install mmvlfusion --no-build-isolation --no-deps -e .
