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


def pretraining(words):
    """Build a pre-training model; three tokens are masked in each forward pass."""
    model = make(
        words,
        'pretraining',
        'VisionLanguagePretraining',
        queue_size=released.QUEUE,
        objectives=released.objectives(),
    )
    ids, mask = model.tokenize(released.TEXTS, torch.device('cpu'))
    masked, targets = ids.clone(), torch.full_like(ids, -100)
    for row, column in ((0, 2), (1, 3), (1, 5)):
        targets[row, column] = ids[row, column]
        masked[row, column] = model.tokenizer.mask_token_id
    model.objectives['masked_language'].sample_mask = lambda pairs: (masked, targets)
    return model, ids, mask


@torch.no_grad()
def test_features_of_each_stage(words):
    model, ids, mask = pretraining(words)
    images = torch.tensor([0, 1])
    pairs = model.encode_pairs(
        released.make_images(2), None, None, ids, mask, captions=[], image_ids=images
    )
    fused = model.fusion.fuse(pairs.text, pairs.image, mask, None)
    check(pairs.image[1, 2, :4], [0.055488, 0.456801, -0.270237, 1.071844])
    check(pairs.text[1, 2, :4], [-0.335524, 0.379237, -0.050384, -1.621517])
    check(fused.text[1, 2, :4], [-0.980824, 1.209444, -0.108189, -2.068442])
    matching, contrastive = (model.objectives[x] for x in ('matching', 'contrastive'))
    logits = matching.logits(fused.text)
    check(logits, [[-0.302367, 1.538043], [-0.435081, 1.506964]])
    image, text = contrastive.features(pairs)
    similarity = image @ text.T / contrastive.temperature
    check(similarity, [[3.213845, -0.226379], [3.192981, -1.640355]])


def test_losses_of_pretraining(words):
    model, _, _ = pretraining(words)
    losses = model(released.make_images(2), released.make_samples(), mode='loss')
    check(losses['loss_contrastive'], 5.428315)
    check(losses['loss_matching'], 1.400783)
    check(losses['loss_masked_language'], 4.519728)
    check(model.queue.image[0, :4], [0.037962, -0.511307, 0.269199, 0.588663])


@pytest.mark.parametrize(
    'options, highest, start, values',
    [
        ({}, 0.001474, 0, [0.327202, 0.019227, 0.149361, 0.064965]),
        (
            dict(score='contrastive', attention='backbone.layers.1.attn'),
            0.138774,
            16,
            [0.00239, 0.035999, 0.011333, 0.500003],
        ),
    ],
)
def test_maps_of_grad_cam(words, options, highest, start, values):
    model = make(
        words,
        'pretraining',
        'GradCAMGrounding',
        queue_size=released.QUEUE,
        objectives=released.objectives(),
        **options,
    )
    maps = model.maps(released.make_images(2), released.TEXTS)
    check(maps.max(), highest)
    shares = (maps / maps.max()).flatten()
    check(shares[start : start + 4], values)


def test_ranks_and_loss_of_vqa(words):
    model = make(words, 'vqa', 'VisualQuestionAnswering', head=released.vqa_head())
    images = released.make_images(2)
    predicted = model(images, released.make_samples(), mode='predict')
    assert [sample.pred_answer for sample in predicted] == ['no', 'no']
    scores = torch.tensor([sample.pred_score for sample in predicted])
    check(1e4 * scores, [0.886479, 0.903802])
    samples = released.make_samples(**VQA_ANSWERS)
    check(model(images, samples, mode='loss')['loss_answer'], 11.709485)


def test_vqa_starts_from_pretraining(words):
    model = make(
        words,
        'pretraining',
        'VisualQuestionAnswering',
        head=released.vqa_head(),
        decoder_from_fusion=True,
    )
    assert model.ema_model.steps == 1
    samples = released.make_samples(**VQA_ANSWERS)
    loss = model(released.make_images(2), samples, mode='loss')['loss_answer']
    check(loss, 11.024693)


def test_logits_and_loss_of_entailment(words):
    head = released.class_head(released.LABELS)
    model = make(words, 'entailment', 'VisualQuestionAnswering', head=head)
    images = released.make_images(2)
    check(
        model.head(model(images, released.make_samples())),
        [[-0.399821, 0.46471, -0.061244], [-0.468316, 0.330035, 0.061298]],
    )
    samples = released.make_samples(gt_answer=['entailment', 'contradiction'])
    check(model(images, samples, mode='loss')['loss_answer'], 1.378266)


def test_logits_and_loss_of_pairs_of_images(words):
    head = released.class_head(['False', 'True'])
    model = make(words, 'nlvr', 'VisualQuestionAnswering', 2, head=head)
    images = released.make_images(2, 2)
    check(
        model.head(model(images, released.make_samples())),
        [[0.168509, -0.206807], [0.166101, -0.162101]],
    )
    samples = released.make_samples(gt_answer=['True', 'False'])
    check(model(images, samples, mode='loss')['loss_answer'], 0.709845)


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
