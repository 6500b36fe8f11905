#!/usr/bin/env bash
# Test and measure the GPU of this machine, and write a report (without a GPU: a small version).
# Usage: tools/gpu_report.sh [--out DIR] [--tables NAME ...] [--minutes N]
# PYTHON is the interpreter (default: python of PATH, of the active environment).
# Repeat the command to continue a report that is not complete.
set -e

exec "${PYTHON:-python}" "$(dirname "$0")/analysis_tools/gpu_report.py" "$@"
