"""Count the exit codes of two processes that leave their group as train.py does.

Run: rank_exits.py RUNS ENDING..., with the endings of ``ENDINGS``. The processes are
forks of one interpreter, so that the imports are done once. Each runs to the end of
this file and ends like any script.
"""

import collections
import os
import socket
import sys

import torch
import torch.distributed as dist
from mmengine.config import Config

from mmvlfusion.apis.cli import _distribute_over_cpus, process_group

# The error of each rank. Ctrl-C reaches all ranks.
ENDINGS = dict(
    end=(None, None),
    exception=(ValueError, None),
    interrupt=(KeyboardInterrupt, KeyboardInterrupt),
)


def start_rank(rank, port):
    """Fork a process. Return its id, and None in the process."""
    pid = os.fork()
    if pid:
        return pid
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE='2',
        LOCAL_WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )


def run_rank(ending):
    """Join a group, communicate, and leave the group."""
    with process_group():
        _distribute_over_cpus(Config(dict(launcher='pytorch')))
        dist.all_reduce(torch.ones(1000))
        error = ENDINGS[ending][dist.get_rank()]
        if error is not None:
            raise error


def count_exits(ending, runs):
    """Return the number of each pair of exit codes; None in a forked process."""
    counts = collections.Counter()
    for _ in range(runs):
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            port = listener.getsockname()[1]
        pids = []
        for rank in range(2):
            pid = start_rank(rank, port)
            if pid is None:
                return None
            pids.append(pid)
        counts[
            tuple(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
        ] += 1
    return counts


if __name__ == '__main__':
    for ending in sys.argv[2:]:
        counts = count_exits(ending, int(sys.argv[1]))
        if counts is None:
            run_rank(ending)
            break
        print(ending, dict(counts), flush=True)
