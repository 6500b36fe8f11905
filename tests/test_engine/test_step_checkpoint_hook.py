"""Checkpoints are saved at optimizer steps, and one is always complete."""

from itertools import count
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import TensorDataset

from mmvlfusion.engine import ExactResumeHook

RUNS = count()
ITERATIONS = dict(by_epoch=False, max_iters=10)
EPOCHS = dict(by_epoch=True, max_epochs=3)


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode):
        return dict(loss=self.layer(inputs).square().mean())


class ListCheckpoints(Hook):
    """List the checkpoints that exist when another one is saved."""

    def __init__(self):
        self.lists = []

    def before_save_checkpoint(self, runner, checkpoint):
        self.lists.append(names(runner.work_dir))


class StopTraining(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        runner.train_loop.stop_training = runner.iter == 6


def names(folder):
    return sorted(path.stem for path in Path(folder).glob('*.pth'))


def train(folder, train_cfg, *hooks, counts=4, resume=None, **checkpoint):
    """Train with three batches in an epoch and a step after four."""
    torch.manual_seed(0)
    runner = Runner(
        Line(),
        str(folder),
        train_dataloader=dict(
            dataset=TensorDataset(torch.arange(3.0).reshape(3, 1)),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=train_cfg,
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1), accumulative_counts=counts
        ),
        default_hooks=dict(
            checkpoint=dict(dict(type='mmvlfusion.StepCheckpointHook'), **checkpoint),
            logger=None,
        ),
        custom_hooks=list(hooks),
        load_from=resume and str(resume),
        resume=resume is not None,
        randomness=dict(seed=0),
        default_scope='mmengine',
        # The state of a run is global by its name.
        experiment_name=f'{folder}-{next(RUNS)}',
    )
    runner.train()
    return runner


def positions(folder):
    """Return the epoch and the iteration of each checkpoint."""
    found = {}
    for name in names(folder):
        meta = torch.load(folder / f'{name}.pth', weights_only=False)['meta']
        found[name] = (meta['epoch'], meta['iter'])
    return found


def test_saves_at_optimizer_steps(tmp_path):
    """Checkpoints of iterations 3, 6 and 9 move to 4, 8 and the last iteration."""
    train(tmp_path, ITERATIONS, by_epoch=False, interval=3)
    assert positions(tmp_path) == dict(iter_4=(0, 4), iter_8=(0, 8), iter_10=(0, 10))
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_10.pth')


def test_checkpoint_of_epoch_has_its_iteration(tmp_path):
    """Epochs 1 and 2 end at iterations 3 and 6, and are saved at 4 and 8."""
    train(tmp_path, EPOCHS, interval=1)
    assert positions(tmp_path) == dict(epoch_1=(1, 4), epoch_2=(2, 8), epoch_3=(3, 9))


@pytest.mark.parametrize(
    'train_cfg, counts, iteration',
    [
        # Due after iteration 3, within accumulated gradients.
        (ITERATIONS, 4, 4),
        (EPOCHS, 4, 4),
        # The last iteration of an epoch.
        (EPOCHS, 1, 3),
    ],
)
def test_resumes_exactly(train_cfg, counts, iteration, tmp_path):
    settings = dict(counts=counts, by_epoch=False, interval=3)
    whole = train(tmp_path, train_cfg, ExactResumeHook(), **settings)
    start = tmp_path / f'iter_{iteration}.pth'
    resumed = train(tmp_path, train_cfg, ExactResumeHook(), resume=start, **settings)
    assert resumed.iter == whole.iter
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])


def test_new_checkpoint_is_complete_before_old_one_is_removed(tmp_path):
    hook = ListCheckpoints()
    train(tmp_path, ITERATIONS, hook, by_epoch=False, interval=3, max_keep_ckpts=1)
    assert hook.lists == [[], ['iter_4'], ['iter_8']]
    assert names(tmp_path) == ['iter_10']


def test_resumption_removes_outdated_checkpoint(tmp_path):
    """A run was killed between saving and removing."""
    settings = dict(by_epoch=False, interval=4, max_keep_ckpts=1)
    train(tmp_path, dict(ITERATIONS, max_iters=8), **settings)
    old = (tmp_path / 'iter_8.pth').read_bytes()
    (tmp_path / 'iter_4.pth').write_bytes(old)
    train(tmp_path, ITERATIONS, resume=tmp_path / 'iter_8.pth', **settings)
    assert names(tmp_path) == ['iter_10']


def test_checkpoint_is_saved_after_early_end(tmp_path):
    """Training ends after iteration 7; the checkpoint of iteration 6 is due."""
    train(tmp_path, ITERATIONS, StopTraining(), by_epoch=False, interval=6)
    assert positions(tmp_path) == dict(iter_7=(0, 7))


@pytest.mark.parametrize(
    'kind, counts, warns',
    [('', 4, True), ('', 1, False), ('mmvlfusion.Step', 4, False)],
)
def test_warns_of_lost_gradients(kind, counts, warns, tmp_path, capfd):
    train(
        tmp_path,
        dict(ITERATIONS, max_iters=1),
        ExactResumeHook(),
        counts=counts,
        type=f'{kind}CheckpointHook',
    )
    assert ('accumulative_counts=4' in capfd.readouterr().out) == warns
