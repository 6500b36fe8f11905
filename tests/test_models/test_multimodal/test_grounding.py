"""Boxes that a decoder writes."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample
from torchvision.ops import box_convert, generalized_box_iou

from ...helpers import BERT, CAPTIONS, FUSION, TNT, caption_batch, load_tool

BOXES = torch.tensor(
    [
        [0.0, 0.0, 16.0, 16.0],
        [8.0, 4.0, 24.0, 12.0],
        [1.0, 2.0, 30.0, 31.0],
        [20.0, 20.0, 28.0, 32.0],
    ]
)


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
    train = load_tool('dataset_converters/build_tokenizer.py').train_tokenizer
    folder = tmp_path_factory.mktemp('boxes')
    train(CAPTIONS, 200, 1, unused=20).save_pretrained(folder)
    return folder


def make(tokenizer, **kwargs):
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    head = dict(
        type='mmvlfusion.BoxGenerationHead', decoder=BERT, num_bins=16, first_token=2
    )
    model = MODELS.build(
        dict(
            type='mmvlfusion.VisualGrounding',
            tokenizer=str(tokenizer),
            backbone=TNT,
            text_encoder=dict(type='mmvlfusion.TextEncoder', config=BERT),
            fusion=FUSION,
            head=head | kwargs,
            max_text_length=20,
        )
    )
    model.init_weights()
    return model.eval()


def boxes_batch(**fields):
    data = caption_batch()
    data['data_samples'] = []
    for text, box in zip(CAPTIONS, BOXES):
        sample = DataSample(text=text, gt_bboxes=box[None].numpy())
        for name, value in fields.items():
            sample.set_field(value, name, field_type='metainfo')
        data['data_samples'].append(sample)
    return data


def test_training_step(tokenizer):
    model = make(tokenizer).train()
    losses = model(**boxes_batch(), mode='loss')
    losses['loss_box'].backward()
    assert losses['loss_box'] > 0
    assert all(p.grad is not None for p in model.parameters())


def test_loss(tokenizer):
    """Cross-entropy over positions, token by token, and its weights."""
    plain, weighted = (make(tokenizer, weighted=w) for w in (False, True))
    data = boxes_batch()
    loss = plain(**data, mode='loss')['loss_box']
    fused = plain(**data)
    right = box_convert(BOXES / 32, 'xyxy', 'cxcywh')
    positions = (right * 16).long()
    names = [f'[unused{i}]' for i in range(2, 20)]
    tokens = torch.tensor(plain.tokenizer.convert_tokens_to_ids(names))
    ids = torch.cat([tokens[:1].expand(4, 1), tokens[1 + positions]], 1)
    logits = plain.head.decoder(
        ids[:, :4],
        encoder_hidden_states=fused.tokens,
        encoder_attention_mask=fused.mask.long(),
    ).logits[..., tokens[1:]]
    each = -logits.log_softmax(2).gather(2, positions[..., None])[..., 0]
    torch.testing.assert_close(loss, each.mean())
    guess = logits.argmax(2) / 16
    overlap = generalized_box_iou(
        box_convert(guess, 'cxcywh', 'xyxy'), BOXES / 32
    ).diagonal()
    each = each * (guess - right).abs() * (1 - overlap)[:, None]
    loss = weighted(**data, mode='loss')['loss_box']
    torch.testing.assert_close(loss, each.mean(), rtol=1e-4, atol=1e-6)


def test_boxes(tokenizer):
    """The most probable position of each coordinate, in pixels of the input."""
    model = make(tokenizer)
    out = model(**boxes_batch(), mode='predict')
    fused = model(**boxes_batch())
    positions = torch.zeros(4, 0, dtype=torch.long)
    log_prob = torch.zeros(4)
    for _ in range(4):
        log_probs = model.head.logits(fused, positions)[:, -1].log_softmax(1)
        log_prob += log_probs.amax(1)
        positions = torch.cat([positions, log_probs.argmax(1)[:, None]], 1)
    x, y, width, height = (positions / 16).unbind(1)
    corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    expected = 32 * torch.stack(corners, 1).clamp(0, 1)
    torch.testing.assert_close(torch.cat([s.pred_bboxes for s in out]), expected)
    scores = torch.tensor([s.pred_score for s in out])
    torch.testing.assert_close(scores, log_prob.exp())


def test_pixels_of_the_original_image(tokenizer):
    model = make(tokenizer)
    small = model(**boxes_batch(), mode='predict')
    large = model(**boxes_batch(scale_factor=(0.5, 0.25)), mode='predict')
    scale = torch.tensor([2.0, 4.0, 2.0, 4.0])
    for a, b, box in zip(small, large, BOXES):
        torch.testing.assert_close(b.pred_bboxes, a.pred_bboxes * scale)
        torch.testing.assert_close(b.gt_bboxes, box[None] * scale)


def test_learns(tokenizer):
    """Four boxes by heart, to the step."""
    model = make(tokenizer, weighted=False).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(200):
        loss = model(**boxes_batch(), mode='loss')['loss_box']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    out = model.eval()(**boxes_batch(), mode='predict')
    found = torch.cat([s.pred_bboxes for s in out])
    assert (found - BOXES).abs().max() <= 4


def test_tokenizer_without_positions(tokenizer):
    with pytest.raises(ValueError, match='lacks 82 of the 102 box tokens.*unused20'):
        make(tokenizer, num_bins=100, first_token=0)
