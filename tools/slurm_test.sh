#!/usr/bin/env bash
# Test a model as a Slurm job.
# Usage: tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
# Environment variables: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS.
# Example: GPUS=8 tools/slurm_test.sh gpu run CONFIG CHECKPOINT
set -e

if [ $# -lt 4 ]; then
    sed -n '2,5s/^# //p' "$0" >&2
    exit 2
fi

gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}

exec srun -p "$1" \
    --job-name="$2" \
    --gres="gpu:$per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS} \
    "${PYTHON:-python}" -u "$(dirname "$0")/test.py" "${@:3}" --launcher slurm
