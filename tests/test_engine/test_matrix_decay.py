"""Selection of the parameters with weight decay."""

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from ..helpers import ROOT


def test_vectors_have_no_weight_decay():
    """Custom keys for learning rates do not change the weight decay."""
    model = nn.ModuleDict(
        dict(
            backbone=nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)),
            head=nn.Linear(3, 2),
        )
    )
    model.register_parameter('gate', nn.Parameter(torch.zeros(())))
    cfg = Config.fromfile(ROOT / 'configs/_base_/schedules/mplug_pretrain_30e_adamw.py')
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {
        names[id(group['params'][0])]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
    }
    assert found == {
        'gate': (1e-4, 0.0),
        'backbone.0.weight': (1e-5, 0.02),
        'backbone.0.bias': (1e-5, 0.0),
        'backbone.1.weight': (1e-5, 0.0),
        'backbone.1.bias': (1e-5, 0.0),
        'head.weight': (1e-4, 0.02),
        'head.bias': (1e-4, 0.0),
    }
