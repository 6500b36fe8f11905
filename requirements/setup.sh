#!/usr/bin/env bash
# Install the tested versions of all packages into $VENV; called by make. Each
# step writes a stamp, so that the next run skips the finished steps. With
# PARTS=classification, only what classification needs is installed: mmpretrain,
# and mmcv without operators, so that nothing is compiled.
#
# A stack is a tested set of versions. Its folder in stacks/ lists the supported
# releases of Python (python.txt) and replaces the files of this folder that
# differ in it.
set -euo pipefail

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
PARTS=${PARTS:-all}
DEFAULT_STACK=onedl-torch2.11
STACK=${STACK:-$DEFAULT_STACK}
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(dirname "$HERE")
NEEDED_GB=12

fail() {
    echo "mmvlfusion: $*" >&2
    exit 1
}

# requirements NAME: the file NAME.txt of the stack, from the root of the checkout.
requirements() {
    local file=requirements/stacks/$STACK/$1.txt
    [ -e "$ROOT/$file" ] || file=requirements/$1.txt
    echo "$file"
}

check_machine() {
    local pythons
    pythons=$(cat "$ROOT/$(requirements python)")
    "$PYTHON" -c '' 2>/dev/null ||
        fail "cannot run the Python interpreter '$PYTHON': set PYTHON= to an interpreter."
    "$PYTHON" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1].split(", "))' "$pythons" ||
        fail "$("$PYTHON" --version 2>&1) is not supported: set PYTHON= to Python $pythons, the versions of the stack $STACK."
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "'$PYTHON' has no venv module: install it (on Debian: python3-venv)."
    [ "$PARTS" = classification ] || command -v "${CXX:-c++}" >/dev/null ||
        fail "the C++ compiler '${CXX:-c++}' was not found, but the operators of mmcv need one: install it (on Debian: g++) or set CXX."
    if [ "$PARTS" != classification ] && command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1 &&
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

[ -d "$HERE/stacks/$STACK" ] ||
    fail "there is no stack '$STACK': set STACK= to one of $(cd "$HERE/stacks" && echo *)."
case $VENV in /*) ;; *) VENV=$ROOT/$VENV ;; esac
PIP=$VENV/bin/pip
if [ ! -x "$PIP" ]; then
    check_machine
    checked=yes
    "$PYTHON" -m venv "$VENV" || fail "cannot create the virtual environment $VENV."
fi
mkdir -p "$VENV/.stamps"

torch=$(requirements torch)
install torch -r "$torch"
install build -c "$torch" -r "$(requirements build)"
LITE=mmcv-without-operators
if [ "$PARTS" = classification ] && [ ! -e "$VENV/.stamps/mmcv" ]; then
    # Isolated from torch, mmcv is built without operators. Without --no-cache-dir,
    # pip would reuse this wheel where operators are needed.
    install $LITE --no-cache-dir -c "$torch" -r "$(requirements mmcv)"
    install mmpretrain --no-build-isolation -c "$torch" $(grep -E 'mmengine|mmpretrain' "$ROOT/$(requirements hosts)")
    install mmvlfusion --no-build-isolation --no-deps -e .
    exit
fi
if [ -e "$VENV/.stamps/$LITE" ]; then
    "$PIP" uninstall -qy -r "$ROOT/$(requirements mmcv)"
    rm "$VENV/.stamps/$LITE"
fi
# Without debug symbols the operators compile in half the time. A cached wheel can
# have been compiled against the torch of another stack.
cache=
[ "$STACK" = "$DEFAULT_STACK" ] || cache=--no-cache-dir
CFLAGS=-g0 install mmcv --no-build-isolation $cache -c "$torch" -r "$(requirements mmcv)"
install hosts --no-build-isolation -c "$torch" -r "$(requirements hosts)" -r "$(requirements multimodal)"
install tests -c "$torch" -r "$(requirements tests)" -r "$(requirements lint)" -r "$(requirements docs)"
install mmvlfusion --no-build-isolation --no-deps -e .
