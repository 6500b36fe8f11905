"""Image captioning."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from ...helpers import BERT, CAPTIONS, TNT, D, caption_batch


def make(tokenizer, head=None, **kwargs):
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    model = MODELS.build(
        dict(
            type='mmvlfusion.ImageCaptioning',
            tokenizer=str(tokenizer),
            backbone=kwargs.pop('backbone', TNT),
            fusion=dict(
                type='mmvlfusion.ImageOnlyFusion', embed_dims=D, image_channels=D
            ),
            head=dict(type='mmvlfusion.TextGenerationHead', decoder=BERT, max_length=20)
            | (head or {}),
            **kwargs,
        )
    )
    model.init_weights()
    return model.eval()


def test_all_parameters_receive_gradients(tokenizer_dir):
    model = make(tokenizer_dir).train()
    losses = model(**caption_batch(), mode='loss')
    assert list(losses) == ['loss_caption']
    losses['loss_caption'].backward()
    assert all(p.grad is not None for p in model.parameters())


def test_loss_averages_captions_of_an_image(tokenizer_dir):
    model = make(tokenizer_dir)
    data = caption_batch(CAPTIONS[:1])
    losses = []
    for caption in (CAPTIONS[:1], CAPTIONS[1:2], CAPTIONS[:2]):
        data['data_samples'][0].set_field(caption, 'gt_caption')
        losses.append(model(**data, mode='loss')['loss_caption'])
    torch.testing.assert_close(losses[2], (losses[0] + losses[1]) / 2)


@pytest.mark.parametrize('num_beams', [1, 3])
def test_predictions_match_search(tokenizer_dir, num_beams):
    model = make(tokenizer_dir, dict(num_beams=num_beams))
    samples = model(**caption_batch(), mode='predict')
    texts, log_probs = model.head._generate(model(**caption_batch()))
    assert [sample.pred_caption for sample in samples] == texts
    scores = torch.tensor([sample.pred_score for sample in samples])
    torch.testing.assert_close(scores, log_probs.exp())
    assert len(set(texts)) > 1  # They depend on the images.


def test_prompt_is_excluded_from_loss(tokenizer_dir):
    """Every caption starts with the prompt, which adds nothing to the loss."""
    model = make(tokenizer_dir, dict(prompt='a red', max_length=18))
    head = model.head
    fused = model(**caption_batch())
    ids = head.encode(CAPTIONS, torch.device('cpu'))
    given = model.tokenizer('a red', add_special_tokens=False)['input_ids']
    assert ids[:, 1 : 1 + len(given)].tolist() == [given] * 4
    logits = head.decoder(
        ids[:, :-1],
        encoder_hidden_states=fused.tokens,
        encoder_attention_mask=fused.mask.long(),
    ).logits.log_softmax(2)
    expected = torch.stack(
        [
            sum(
                logits[row, place, ids[row, place + 1]]
                for place in range(len(given), len(ids[row]) - 1)
                if head.end not in ids[row, : place + 1]
            )
            for row in range(4)
        ]
    )
    torch.testing.assert_close(head(fused, ids), expected)


@pytest.mark.parametrize('prompt', ['', 'a red'])
def test_lengths_count_new_tokens(tokenizer_dir, prompt):
    """Neither the start token nor the prompt counts."""
    model = make(tokenizer_dir, dict(min_length=15, max_length=16, prompt=prompt))
    given = len(model.head.prompt)
    fused = model(**caption_batch())
    generated = []
    generate = model.head.decoder.generate
    model.head.decoder.generate = lambda *args, **kwargs: (
        generated.append(generate(*args, **kwargs)) or generated[0]
    )
    model(**caption_batch(), mode='predict')
    assert generated[0].shape == (len(fused.tokens), given + 16)
    assert not (generated[0][:, : given + 15] == model.head.end).any()


@pytest.mark.parametrize(
    'head, kwargs, words',
    [
        (dict(max_length=1), {}, 'max_length=1 .* at least 2'),
        (dict(max_target_length=1), {}, 'max_target_length=1 .* at least 2'),
        (dict(max_length=21), {}, 'need 21 positions, .* has 20: reduce max_length'),
        (dict(prompt='a red'), {}, 'prompt of 2 tokens and max_length=20'),
        (dict(min_length=21), {}, 'min_length=21 must be an integer within 0 ... 20'),
        ({}, dict(backbone=None), 'needs a backbone'),
    ],
)
def test_rejects_bad_arguments(tokenizer_dir, head, kwargs, words):
    with pytest.raises(ValueError, match=words):
        make(tokenizer_dir, head, **dict(kwargs))


@pytest.mark.parametrize('caption', ['', ' ', 'a star of', ['a star', '']])
def test_rejects_captions_without_words(tokenizer_dir, caption):
    model = make(tokenizer_dir, dict(prompt='a star of', max_length=16))
    data = caption_batch(CAPTIONS[:1])
    data['data_samples'][0].set_field(caption, 'gt_caption')
    with pytest.raises(ValueError, match="needs words .* 'a star of'"):
        model(**data, mode='loss')


def test_rejects_checkpoint_of_another_vocabulary(tokenizer_dir):
    """Converted checkpoints have no fingerprint of their tokenizer."""
    model = make(tokenizer_dir)
    weights = model.state_dict()
    del weights['tokenizer_fingerprint']
    model.load_state_dict(weights, strict=False)
    (name,) = [key for key in weights if key.endswith('word_embeddings.weight')]
    weights[name] = weights[name][:-1]
    with pytest.raises(ValueError, match=f'words in {name}'):
        model.load_state_dict(weights, strict=False)
