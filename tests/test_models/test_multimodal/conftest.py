"""Shared fixtures of the multimodal tests."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from ...helpers import BERT, VQA_BACKBONES, VQA_HEADS, D


@pytest.fixture
def build_vqa(tokenizer_dir):
    """A function that builds a tiny model for visual question answering."""

    def config(backbone='tnt', head='greedy', text=BERT, **kwargs):
        backbone, channels = copy.deepcopy(VQA_BACKBONES.get(backbone, (None, None)))
        return (
            dict(
                type='mmvlfusion.VisualQuestionAnswering',
                tokenizer=str(tokenizer_dir),
                backbone=backbone,
                text_encoder=dict(type='mmvlfusion.TextEncoder', config=text),
                fusion=dict(
                    type='mmvlfusion.JointAdaptiveFusion',
                    embed_dims=D,
                    image_channels=channels,
                    num_heads=2,
                    num_layers=2,
                    num_latents=3,
                    num_iterations=2,
                ),
                max_text_length=20,
                head=copy.deepcopy(VQA_HEADS.get(str(head), head)),
            )
            | kwargs
        )

    def make(*args, **kwargs):
        torch.manual_seed(0)
        init_default_scope('mmpretrain')
        model = MODELS.build(config(*args, **kwargs))
        model.init_weights()
        return model.eval()

    make.config = config
    return make
