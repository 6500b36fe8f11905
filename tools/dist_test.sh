#!/usr/bin/env bash
# Test a model on several processes of one machine or more.
# Usage: tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [options of test.py]
# Several machines: set the environment variables NNODES, NODE_RANK, MASTER_ADDR, PORT.
# PYTHON is the interpreter (default: python of PATH, of the active environment).
# Example: tools/dist_test.sh CONFIG CHECKPOINT 8
set -e

if [ $# -lt 3 ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$3" \
    "$(dirname "$0")/test.py" "${@:1:2}" "${@:4}" --launcher pytorch
