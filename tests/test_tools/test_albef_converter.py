"""Converted weights of ALBEF give the values of the authors' code.

The expected values are those of the authors' code with the weights, images and texts
of ``released_albef``, in double precision.
"""

import pytest
import torch

from .. import released_albef as released
from ..helpers import load_tool

converter = load_tool('model_converters/albef.py')


@pytest.fixture(scope='module')
def words(tmp_path_factory):
    """The folder of the tokenizer, and its number of words."""
    return released.make_tokenizer(tmp_path_factory.mktemp('words'))


def make(words, file, kind, num_images=1, **kwargs):
    """Build a model with the converted weights of a released file."""
    model = released.build_albef(kind, words[0], num_images, **kwargs)
    weights, dropped = converter.convert(released.make_weights(file, words[1]))
    assert dropped == []
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if file == 'pretraining' and 'objectives' not in kwargs:
        return model
    assert unexpected == [] or kind != 'VisionLanguagePretraining'
    assert all('fingerprint' in name or name == 'queue.ids' for name in missing)
    return model


def check(values, expected):
    torch.testing.assert_close(
        values.detach(), torch.tensor(expected).to(values), rtol=0, atol=2e-6
    )


VQA_ANSWERS = dict(
    gt_answer=[['red', 'blue circle'], ['yes']], gt_answer_weight=[[0.6, 0.4], [1.0]]
)


def test_low_rank_pretraining_initialises_the_decoder(words):
    """The low-rank layers are multiplied, split and factorised again."""
    weights, _ = converter.convert(released.make_weights('pretraining', words[1]))
    source = released.build_albef(
        'VisionLanguagePretraining',
        words[0],
        low_rank=['_proj', r'\.masked_language\.'],
        queue_size=released.QUEUE,
        objectives=released.objectives(),
    )
    source.load_state_dict(weights, strict=False)
    model = released.build_albef(
        'VisualQuestionAnswering',
        words[0],
        low_rank=[r'(^|\.)cls\.'],
        decoder_from_fusion=True,
        head=released.vqa_head(),
    )
    missing, _ = model.load_state_dict(source.state_dict(), strict=False)
    assert not any('head.' in name for name in missing if 'ema_model' not in name)
    layer = model.head.decoder.bert.encoder.layer[1]
    for place, name in enumerate(('query', 'key', 'value')):
        linear = getattr(layer.attention.self, name)
        full = source.fusion.layers[1].attn.qkv.weight.chunk(3)[place]
        u, s, v = torch.linalg.svd(full)
        rank = linear.down.shape[0]
        best = (u[:, :rank] * s[:rank]) @ v[:rank]
        torch.testing.assert_close(linear.weight, best, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        model.head.decoder.get_input_embeddings().weight,
        source.text_encoder.encoder.get_input_embeddings().weight,
    )
    assert model.ema_model.steps == 0


def test_other_checkpoints_are_refused(words):
    weights = released.make_weights('pretraining', words[1])
    with pytest.raises(ValueError, match="Unexpected key 'extra.weight'"):
        converter.convert({**weights, 'extra.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match='expected a checkpoint of ALBEF'):
        converter.convert({'visual_encoder.norm.weight': torch.zeros(1)})


def test_files_of_the_authors_are_read_and_reported(words, tmp_path, run_tool):
    weights = released.make_weights('entailment', words[1])
    weights['text_encoder.embeddings.position_ids'] = torch.arange(20)[None]
    torch.save(dict(model=weights, epoch=1), tmp_path / 'source.pth')
    output = run_tool(
        'tools/model_converters/albef.py', tmp_path / 'source.pth', tmp_path / 'out.pth'
    )
    assert 'weights converted, 1 dropped' in output
    assert 'dropped: 1 x text_encoder.embeddings.position_ids' in output
    stored = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert stored.keys() == converter.convert(weights)[0].keys()
