#!/usr/bin/env bash
# Train a model on several processes of one machine or more.
# Usage: tools/dist_train.sh CONFIG NUM_PROCESSES [options of train.py]
# Several machines: set the environment variables NNODES, NODE_RANK, MASTER_ADDR, PORT.
# PYTHON is the interpreter (default: python of PATH, of the active environment).
# Example: tools/dist_train.sh CONFIG 8 --amp
set -e

if [ $# -lt 2 ]; then
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
fi

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$(dirname "$0")/train.py" "${@:1:1}" "${@:3}" --launcher pytorch
