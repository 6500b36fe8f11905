"""Kill and resume runs, and compare them with uninterrupted runs.

Run all cases and write the table: python tests/test_engine/resume_matrix.py OUT.md
The processes are forks of one process that has imported everything.
"""

import copy
import functools
import gc
import itertools
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from multiprocessing.connection import wait
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub

if __name__ in ('__main__', '__mp_main__'):
    sys.path.insert(0, str(Path(__file__).parents[2]))

from mmvlfusion.apis.resume import latest_complete_checkpoint
from mmvlfusion.testing.shapes import write_dataset
from tests.helpers import ROOT, TINY_ARCH, load_tool, unformatted

PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload(
    [
        'matplotlib.pyplot',
        'mmpretrain.datasets',
        'mmpretrain.engine',
        'mmpretrain.evaluation',
        'mmpretrain.models',
        'mmpretrain.visualization',
        'mmvlfusion.apis.cli',
        'mmvlfusion.engine',
        'tests.helpers',
    ]
)
# 3 epochs of 6 steps. Gradients of 4 steps are accumulated, so that checkpoints of
# epoch 1 and of iterations 5, 10 and 15 are due between two optimizer steps.
SETTINGS = {
    'model.backbone.arch': dict(TINY_ARCH, num_layers=2),
    'model.head.in_channels': TINY_ARCH['embed_dims_outer'],
    'custom_hooks': [dict(type='EMAHook', momentum=0.1)],
    'custom_imports': dict(imports=['tests.test_engine.kill_hook']),
    'optim_wrapper.accumulative_counts': 4,
    'default_hooks.logger.interval': 6,
    'val_dataloader.batch_size': 4,
    'randomness.seed': 1,
}
# The randomness of the model.
RANDOM = {
    'model.backbone.drop_path_rate': 0.3,
    'model.backbone.drop_rate': 0.1,
    'model.train_cfg': dict(augments=[dict(type='Mixup', alpha=0.8)]),
}
LOOPS = {
    'epochs': {'train_cfg.max_epochs': 3, 'train_cfg.val_interval': 1},
    'iterations': {
        'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=18, val_interval=5),
        'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.interval': 5,
        'param_scheduler': [dict(type='CosineAnnealingLR', T_max=18, by_epoch=False)],
        'train_dataloader.sampler': dict(_delete_=True, type='InfiniteSampler'),
    },
}
# Arguments of KillHook.
KILLS = {
    'first iteration of an epoch': dict(iteration=12),
    'middle of an epoch': dict(iteration=16),
    'accumulation of gradients': dict(iteration=10),
    'validation': dict(iteration=10, point='validation'),
    'writing of a checkpoint': dict(iteration=11, point='writing'),
}


@functools.cache
def base_config():
    return Config.fromfile(ROOT / 'configs/tnt/tnt-mini-p8_1xb32-10e_shapes-32px.py')


def write_config(path, data_root, loop, ranks, workers=0, kill=None, random=True):
    """Write the config of a run with eight samples in a step."""
    cfg = copy.deepcopy(base_config())
    for settings in (SETTINGS, LOOPS[loop], RANDOM if random else {}):
        # Merging changes the settings.
        cfg.merge_from_dict(Config(settings).to_dict())
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.data_root = str(data_root)
    cfg.train_dataloader.update(batch_size=8 // ranks, num_workers=workers)
    if kill is not None:
        cfg.default_hooks.kill = dict(type='KillHook', **KILLS[kill])
    with mock.patch('yapf.yapflib.yapf_api.FormatCode', unformatted):
        cfg.dump(path)
    return path


def run_rank(arguments, environment, log):
    """Run the training script in this process, and write the losses."""
    with open(log, 'a') as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    # The hosts collect garbage, which would visit all imported modules.
    gc.freeze()
    os.environ.update(environment)
    os.chdir(ROOT)
    torch.set_num_threads(1)
    sys.argv = ['train.py', *map(str, arguments)]
    with mock.patch('yapf.yapflib.yapf_api.FormatCode', unformatted):
        load_tool('train.py').main()
    losses, _ = MessageHub.get_current_instance().get_scalar('train/loss').data
    np.save(log.with_suffix('.npy'), losses)


def train(config, folder, *arguments, ranks=1):
    """Train. Return the exit code of the first process that failed, or 0."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    folder.mkdir(exist_ok=True)
    arguments = [config, '--work-dir', folder, *arguments]
    if ranks > 1:
        arguments += ['--launcher', 'pytorch']
    processes = []
    for rank in range(ranks):
        environment = dict(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(ranks),
            LOCAL_WORLD_SIZE=str(ranks),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port),
        )
        processes.append(
            PROCESSES.Process(
                target=run_rank,
                args=(arguments, environment, folder / f'rank{rank}.log'),
            )
        )
        processes[-1].start()
    running = list(processes)
    while running:
        wait([process.sentinel for process in running])
        running = [process for process in running if process.exitcode is None]
        failed = [process for process in processes if process.exitcode]
        if failed:
            for process in running:
                process.kill()
            for process in processes:
                process.join()
            return failed[0].exitcode
    return 0


def last_state(folder):
    """Load the last checkpoint of a run."""
    return torch.load((folder / 'last_checkpoint').read_text(), weights_only=False)


def differences(first, second, name=''):
    """Return the names of the tensors that differ in any bit."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        return [
            found
            for key in first
            for found in differences(first[key], second[key], f'{name}.{key}')
        ]
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [name]
    return []


class Runs:
    """Runs in a folder. Uninterrupted runs are shared by cases.

    Args:
        folder (Path): The folder.
        data_root (Path): The data set.
    """

    def __init__(self, folder, data_root):
        self.folder = folder
        self.data_root = data_root

    def config(self, *args, **kwargs):
        return write_config(self.folder / 'config.py', self.data_root, *args, **kwargs)

    def uninterrupted(self, loop, ranks):
        """Return the folder of an uninterrupted run, for all numbers of workers."""
        folder = self.folder / f'{loop}-{ranks}'
        if not folder.is_dir():
            code = train(self.config(loop, ranks), folder, ranks=ranks)
            assert code == 0, (folder / 'rank0.log').read_text()
        return folder

    def losses(self, ranks):
        """Return the losses of a run without randomness in the model."""
        folder = self.folder / f'losses-{ranks}'
        config = self.config('iterations', ranks, random=False)
        code = train(config, folder, ranks=ranks)
        assert code == 0, (folder / 'rank0.log').read_text()
        losses = [np.load(folder / f'rank{rank}.npy') for rank in range(ranks)]
        return np.mean(losses, 0)

    def resumed(self, loop, ranks, workers, kill, resumed_workers=None):
        """Kill and resume a run.

        Returns:
            tuple: The iteration from which it was resumed, and the names of the
            tensors that differ from those of an uninterrupted run.
        """
        whole = self.uninterrupted(loop, ranks)
        folder = self.folder / f'{whole.name}-{workers}-{kill.replace(" ", "_")}'
        config = self.config(loop, ranks, workers, kill)
        code = train(config, folder, ranks=ranks)
        assert code == -signal.SIGKILL, (folder / 'rank0.log').read_text()
        checkpoint = latest_complete_checkpoint(str(folder))
        start = torch.load(checkpoint, weights_only=False)['meta']['iter']
        if resumed_workers is None:
            resumed_workers = workers
        config = self.config(loop, ranks, resumed_workers)
        code = train(config, folder, '--resume', ranks=ranks)
        assert code == 0, (folder / 'rank0.log').read_text()
        expected, found = last_state(whole), last_state(folder)
        assert expected['meta']['iter'] == found['meta']['iter'] == 18
        parts = ('state_dict', 'ema_state_dict', 'optimizer')
        return start, [
            name
            for part in parts
            for name in differences(expected[part], found[part], part)
        ]


def main():
    """Run all cases and write the table."""
    out = Path(sys.argv[1])
    columns = list(itertools.product((1, 2), (0, 2)))
    head = [f'ranks: {ranks}, workers: {workers}' for ranks, workers in columns]
    lines = [f'| killed in | loop | {" | ".join(head)} |', '|---' * 6 + '|']
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_dataset(
            folder, 'easy', dict(train=48, val=16), ['classification'], 0, workers=1
        )
        runs = Runs(folder, folder / 'classification')
        for kill, loop in itertools.product(KILLS, LOOPS):
            cells = []
            for ranks, workers in columns:
                start, differing = runs.resumed(loop, ranks, workers, kill)
                verdict = f'{len(differing)} differ' if differing else 'equal'
                cells.append(f'{verdict}, from {start}')
                print(kill, loop, ranks, workers, cells[-1], differing[:3], flush=True)
            lines.append(f'| {kill} | {loop} | {" | ".join(cells)} |')
            out.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()
