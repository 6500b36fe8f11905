"""Pre-training on captioned images: objectives, momentum model and queue."""

import copy

import pytest
import torch
import torch.nn.functional as F
import transformers
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

from mmvlfusion.models.multimodal.objectives.contrastive import FeatureQueue
from mmvlfusion.models.multimodal.pretraining import image_hash

from ...helpers import (
    BERT,
    CAPTIONS,
    FUSION,
    OBJECTIVES,
    D,
    caption_batch,
    make_pretraining,
    pretraining_config,
)


def pairs_of(model, **kwargs):
    """Return the pairs that the first objective receives."""
    seen = []
    objective = next(iter(model.objectives.values()))
    forward = objective.forward
    objective.forward = lambda _, pairs: seen.append(pairs) or torch.zeros(())
    model(**caption_batch(**kwargs), mode='loss')
    objective.forward = forward
    return seen[0]


def test_all_but_momentum_parameters_receive_gradients(tokenizer_dir):
    """All parameters receive gradients except those of the momentum model."""
    model = make_pretraining(tokenizer_dir)
    losses = model(**caption_batch(), mode='loss')
    assert set(losses) == {f'loss_{name}' for name in OBJECTIVES}
    assert all(loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        is_momentum = name.startswith('ema_model')
        assert (parameter.grad is None) == is_momentum, name


def test_objective_weight_scales_loss(tokenizer_dir):
    first = make_pretraining(tokenizer_dir, ['prefix'])
    other = make_pretraining(
        tokenizer_dir,
        ['prefix'],
        objectives=dict(prefix=dict(type='mmvlfusion.PrefixLanguageObjective')),
    )
    losses = []
    for model in (first, other):
        torch.manual_seed(1)
        losses.append(model(**caption_batch(), mode='loss')['loss_prefix'])
    torch.testing.assert_close(losses[0], 2 * losses[1])


def test_momentum_model_averages_parameters(tokenizer_dir):
    """The momentum model averages the parameters of all parts but the head."""
    model = make_pretraining(tokenizer_dir)
    model(**caption_batch(), mode='loss')
    averages = dict(model.ema_model.module.named_parameters())
    before = {name: p.clone() for name, p in averages.items()}
    own = dict(model.named_parameters())
    for name, average in averages.items():
        torch.testing.assert_close(average, own[name])
        own[name].data += 1
    model(**caption_batch(), mode='loss')
    for name, average in averages.items():
        if name.endswith('temperature'):  # It is clamped.
            continue
        torch.testing.assert_close(average, 0.9 * before[name] + 0.1 * own[name])
    assert any(name.startswith('fusion.') for name in averages)
    assert not any(name.startswith('head.') for name in averages)


def test_contrastive_loss_matches_formula(tokenizer_dir):
    """Compare with the formula. The first and third pair show the same image."""
    model = make_pretraining(tokenizer_dir, ['contrastive'])
    objective = model.objectives['contrastive']
    data = caption_batch()
    data['data_samples'][2].set_field('0', 'image_id')
    queue = model.queue.get()
    loss = model(**data, mode='loss')['loss_contrastive']
    image, text = objective.features(pairs_of(model))
    expected = 0
    for query, own, key in ((image, image, text), (text, text, image)):
        # Before its first step, the momentum model equals the model.
        stored = queue[1] if key is text else queue[0]
        logits = query @ torch.cat([key, stored]).T / 0.07
        soft = (own @ torch.cat([key, stored]).T / 0.07).softmax(1)
        targets = torch.zeros(4, 12)
        for row, columns in enumerate([(0, 2), (1,), (0, 2), (3,)]):
            targets[row, list(columns)] = 1 / len(columns)
        targets = 0.4 * soft + 0.6 * targets
        expected -= (targets * logits.log_softmax(1)).sum(1).mean() / 2
    torch.testing.assert_close(loss, expected)


def test_images_are_identified_by_paths():
    """Data sets may use the same ids; images in memory have an id only."""

    def hash_of(**fields):
        return image_hash(DataSample(metainfo=dict(fields, gt_caption='a star')))

    assert hash_of(img_path='a/1.jpg', image_id=1) == hash_of(img_path='a/1.jpg')
    assert hash_of(img_path='a/1.jpg', image_id=1) != hash_of(
        img_path='b/1.jpg', image_id=1
    )
    assert hash_of(image_id=1) == hash_of(image_id=1) != hash_of(image_id=2)
    with pytest.raises(ValueError, match="'a star' has no img_path .*meta_keys"):
        hash_of()


def test_queue_replaces_oldest_features(tokenizer_dir):
    model = make_pretraining(tokenizer_dir, ['contrastive'])
    filled = []
    for start in (0, 4, 8):
        model(**caption_batch(first_image=start), mode='loss')
        filled.append(model.queue.get())
    assert (filled[0][2] == -1).sum() == 4
    assert len(set(filled[1][2].tolist())) == 8
    for part in (0, 2):  # The third batch replaces the first.
        assert not torch.equal(filled[2][part][:4], filled[1][part][:4])
        assert torch.equal(filled[2][part][4:], filled[1][part][4:])
    torch.manual_seed(1)  # Ranks with different seeds draw equal queues.
    other = FeatureQueue(8, 8).get()
    torch.manual_seed(2)
    for one, two in zip(FeatureQueue(8, 8).get(), other):
        assert torch.equal(one, two)
    # The last batch of an epoch may be smaller.
    model(**caption_batch(CAPTIONS[:3]), mode='loss')
    assert model.queue.position == 7


def test_temperature_is_clamped(tokenizer_dir):
    model = make_pretraining(tokenizer_dir, ['contrastive'])
    model.objectives['contrastive'].temperature.data.fill_(-1.0)
    assert torch.isfinite(model(**caption_batch(), mode='loss')['loss_contrastive'])
    assert model.objectives['contrastive'].temperature == 0.001


def test_matching_samples_hard_negatives(tokenizer_dir):
    model = make_pretraining(tokenizer_dir, ['matching'])
    pairs = pairs_of(model)
    objective = model.objectives['matching']
    pairs.image_ids = torch.tensor([0, 0, 1, 2])
    for _ in range(20):
        for own, drawn in enumerate(zip(*objective.sample_negatives(pairs))):
            for other in drawn:
                assert pairs.image_ids[own] != pairs.image_ids[other]
    to_captions, to_images = torch.zeros(4, 4), torch.zeros(4, 4)
    to_captions[0, 3] = to_captions[2, 1] = 50.0
    to_images[0, 2] = to_images[3, 1] = 50.0
    pairs.similarity = to_captions, to_images
    captions, images = objective.sample_negatives(pairs)
    assert captions[0] == 3 and captions[2] == 1
    assert images[0] == 2 and images[3] == 1


def test_negatives_are_sampled_by_similarity_to_momentum_features(tokenizer_dir):
    """ALBEF compares the model's features with those of the momentum model."""
    model = make_pretraining(tokenizer_dir, ['matching', 'contrastive'])
    model(**caption_batch(), mode='loss')
    for parameter in model.ema_model.module.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    pairs = pairs_of(model)
    online = model.objectives['contrastive']
    momentum = model.ema_model.module.objectives['contrastive']
    image, text = online.features(pairs)
    ema_image, ema_text = momentum.features(pairs.ema)
    to_captions, to_images = pairs.similarity
    torch.testing.assert_close(to_captions, image @ ema_text.T / 0.07)
    torch.testing.assert_close(to_images, text @ ema_image.T / 0.07)
    assert not torch.allclose(to_captions, to_images.T, atol=1e-2)


def test_matching_loss_matches_pairwise_logits(tokenizer_dir):
    """Compare with positive pairs, negative captions and negative images."""
    model = make_pretraining(tokenizer_dir, ['matching'])
    pairs = pairs_of(model)
    objective = model.objectives['matching']
    captions, images = torch.tensor([1, 2, 3, 0]), torch.tensor([2, 3, 0, 1])
    objective.sample_negatives = lambda _: (captions, images)

    def match(i, j):
        """Compute the log-probabilities of image i with caption j."""
        mask = None if pairs.text_mask is None else pairs.text_mask[j : j + 1]
        fused = model.fusion.fuse(
            pairs.text[j : j + 1], pairs.image[i : i + 1], mask, None
        )
        return objective.logits(fused.text).log_softmax(1)[0]

    expected = -torch.stack(
        [match(i, i)[1] for i in range(4)]
        + [match(i, captions[i])[0] for i in range(4)]
        + [match(images[i], i)[0] for i in range(4)]
    ).mean()
    torch.testing.assert_close(objective(model, pairs), expected)


def test_masked_token_proportions(tokenizer_dir):
    """Choose 15 % of the tokens: 80 % masked, 10 % random and 10 % unchanged."""
    model = make_pretraining(
        tokenizer_dir,
        ['mlm'],
        objectives=dict(mlm=dict(type='mmvlfusion.MaskedLanguageObjective')),
    )
    pairs = pairs_of(model, captions=CAPTIONS * 500)
    hidden, targets = model.objectives['mlm'].sample_mask(pairs)
    chosen = targets != -100
    special = torch.tensor(model.tokenizer.all_special_ids)
    assert not torch.isin(pairs.ids[chosen], special).any()
    assert torch.equal(targets[chosen], pairs.ids[chosen])
    assert torch.equal(hidden[~chosen], pairs.ids[~chosen])
    words = ~torch.isin(pairs.ids, special)
    assert 0.13 < chosen.sum() / words.sum() < 0.17
    masked = hidden[chosen] == model.tokenizer.mask_token_id
    assert 0.77 < masked.float().mean() < 0.83
    same = hidden[chosen] == targets[chosen]
    assert 0.07 < same.float().mean() < 0.14


def test_masked_language_loss_mixes_hard_and_soft_targets(tokenizer_dir):
    """The soft targets are a distribution over the vocabulary."""
    model = make_pretraining(tokenizer_dir, ['mlm'])
    objective = model.objectives['mlm']
    pairs = pairs_of(model)
    ids, targets = objective.sample_mask(pairs)
    objective.sample_mask = lambda _: (ids, targets)
    for parameter in model.ema_model.module.parameters():
        parameter.data.mul_(1.1)
    loss = objective(model, pairs)
    logits, soft = (
        m.objectives['mlm'].logits(m, p, ids, targets != -100)
        for m, p in ((model, pairs), (model.ema_model.module, pairs.ema))
    )
    hard = F.cross_entropy(logits, targets[targets != -100])
    soft = -(soft.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, 0.6 * hard + 0.4 * soft)


def test_prefix_language_loss_matches_single_captions(tokenizer_dir):
    """The head reads the prefix with the image and generates the rest."""
    model = make_pretraining(tokenizer_dir, ['prefix'])
    objective = model.objectives['prefix']
    pairs = pairs_of(model)
    cuts = [3, 0, 1, 4]
    objective.sample_prefix_lengths = lambda _: cuts
    total, number = 0, 0
    for i, (caption, cut) in enumerate(zip(CAPTIONS, cuts)):
        words = caption.split()
        ids, mask = model.tokenize([' '.join(words[:cut])], torch.device('cpu'))
        fused = model.fusion.fuse(
            model.text_encoder(ids, mask), pairs.image[i : i + 1], mask, None
        )
        rest = model.head.encode([' '.join(words[cut:])], torch.device('cpu'))
        total = total - model.head(fused, rest).sum()
        number += rest.shape[1] - 1
    torch.testing.assert_close(objective(model, pairs), total / number)
    del objective.sample_prefix_lengths
    drawn = torch.tensor([objective.sample_prefix_lengths(pairs) for _ in range(200)])
    assert drawn.min(0).values.tolist() == [0, 0, 0, 0]
    assert drawn.max(0).values.tolist() == [7, 2, 1, 6]


def test_masked_image_loss_matches_formula(tokenizer_dir):
    model = make_pretraining(tokenizer_dir, ['mim'])
    objective = model.objectives['mim']
    pairs = pairs_of(model)
    hidden = objective.sample_mask(pairs.images)
    assert hidden.flatten(1).sum(1).tolist() == [8] * 4
    objective.sample_mask = lambda _: hidden
    images = pairs.images.clone()
    for image, cells in zip(images, hidden):
        for y, x in cells.nonzero().tolist():
            image[:, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 0
    tokens, _ = model.fusion.prepare_image(*model.encode_images(images))
    fused = model.fusion.fuse(pairs.text, tokens, pairs.text_mask, None)
    predicted = objective.head(fused.image).view(4, 4, 4, 3, 8, 8)
    target = pairs.images.view(4, 3, 4, 8, 4, 8).permute(0, 2, 4, 1, 3, 5)
    expected = (predicted - target).abs()[hidden].mean()
    torch.testing.assert_close(objective(model, pairs), expected)


def test_masked_image_loss_skips_class_token(tokenizer_dir):
    """The class token of a ViT belongs to no patch."""
    vit = dict(
        type='VisionTransformer',
        img_size=32,
        patch_size=8,
        out_type='raw',
        arch=dict(embed_dims=D, num_layers=1, num_heads=2, feedforward_channels=16),
    )
    model = make_pretraining(tokenizer_dir, ['mim'], backbone=vit, image_norm=False)
    objective = model.objectives['mim']
    pairs = pairs_of(model)
    assert pairs.image.shape[1] == 17
    hidden = torch.zeros(4, 4, 4, dtype=torch.bool)
    hidden[:, 0, 0] = True
    objective.sample_mask = lambda _: hidden
    images = pairs.images.clone()
    images[:, :, :8, :8] = 0
    tokens, _ = model.fusion.prepare_image(*model.encode_images(images))
    fused = model.fusion.fuse(pairs.text, tokens, pairs.text_mask, None)
    expected = F.l1_loss(
        objective.head(fused.image[:, 1]), pairs.images[:, :, :8, :8].flatten(1)
    )
    torch.testing.assert_close(objective(model, pairs), expected)


def test_image_is_encoded_once_for_all_captions(tokenizer_dir):
    """Shared and repeated images give equal tokens."""
    model = make_pretraining(tokenizer_dir).eval()
    data = caption_batch()
    index = torch.tensor([0, 0, 1, 3])
    once = model(**data, image_index=index)
    data['images'] = data['images'][index]
    torch.testing.assert_close(once.tokens, model(**data).tokens)


@pytest.mark.parametrize(
    'fusion',
    [
        'JointAdaptiveFusion',
        'PerceiverFusion',
        'ConcatFusion',
        'CrossAttentionFusion',
        'CoTokenizationFusion',
        'SkipConnectedFusion',
    ],
)
def test_objectives_require_streams_of_fusion(tokenizer_dir, fusion):
    """An objective is rejected if the fusion does not return its streams."""
    cfg = dict(FUSION, type=f'mmvlfusion.{fusion}')
    if fusion != 'SkipConnectedFusion':
        cfg.pop('stride')
    if fusion in ('JointAdaptiveFusion', 'PerceiverFusion', 'CoTokenizationFusion'):
        cfg.update(num_iterations=1, num_latents=4)
    model = make_pretraining(tokenizer_dir, ['prefix'], fusion=cfg)
    fused = model(**caption_batch())
    returned = {name for name in ('text', 'image') if getattr(fused, name) is not None}
    assert returned == set(model.fusion.streams)
    for name in ('mlm', 'matching', 'mim'):
        if (
            set(
                model.objectives[name].streams
                if name in model.objectives
                else MODELS.get(OBJECTIVES[name]['type']).streams
            )
            <= returned
        ):
            make_pretraining(tokenizer_dir, [name], fusion=cfg)(
                **caption_batch(), mode='loss'
            )
        else:
            with pytest.raises(ValueError, match=f'{name}.*{fusion}'):
                make_pretraining(tokenizer_dir, [name], fusion=cfg)


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(names=()), 'at least one'),
        (dict(names=['prefix'], head=None), "'prefix' needs a head"),
        (
            dict(
                names=['mlm'],
                backbone=None,
                fusion=dict(
                    type='mmvlfusion.TextOnlyFusion',
                    embed_dims=D,
                    num_heads=2,
                    num_layers=1,
                ),
            ),
            'needs a backbone',
        ),
        (
            dict(
                objectives=dict(
                    a=OBJECTIVES['contrastive'], b=OBJECTIVES['contrastive']
                )
            ),
            'both contrastive',
        ),
        (
            dict(objectives=dict(a=dict(OBJECTIVES['contrastive'], pool='last'))),
            "pool='last'",
        ),
        (dict(objectives=dict(a=dict(OBJECTIVES['mim'], ratio=2.0))), 'ratio=2'),
    ],
)
def test_rejects_bad_arguments(tokenizer_dir, kwargs, words):
    with pytest.raises(ValueError, match=words):
        make_pretraining(tokenizer_dir, **kwargs)


def test_rejects_bad_input(tokenizer_dir):
    model = make_pretraining(tokenizer_dir, ['contrastive', 'matching'], queue_size=6)
    with pytest.raises(ValueError, match='queue_size=6.* 4 pairs'):
        model(**caption_batch(), mode='loss')
    with pytest.raises(ValueError, match="caption ' '"):
        model(**caption_batch(['a star', ' ']), mode='loss')
    with pytest.raises(ValueError, match='show one image'):
        model(**caption_batch(['a star']), mode='loss')
    data = caption_batch()
    mask = torch.ones(4, 32, 32, dtype=torch.bool)
    mask[0, :, 16:] = False
    with pytest.raises(ValueError, match='needs images of one size'):
        make_pretraining(tokenizer_dir, ['mim'])(**data, image_mask=mask, mode='loss')
    with pytest.raises(ValueError, match='16 tokens per image, expected .* 4 patches'):
        make_pretraining(
            tokenizer_dir, objectives=dict(mim=dict(OBJECTIVES['mim'], patch_size=16))
        )(**caption_batch(), mode='loss')


def test_two_ranks_match_one_rank_with_double_batch(
    tokenizer_dir, run_tool, free_port, tmp_path
):
    """Compare losses, gradients and the queue after two steps."""
    from . import pretraining_ranks

    run_tool(
        '-m',
        'torch.distributed.run',
        '--nproc_per_node=2',
        f'--master_port={free_port}',
        pretraining_ranks.__file__,
        tokenizer_dir,
        tmp_path / 'two.pth',
    )
    one = pretraining_ranks.train(tokenizer_dir)
    two = torch.load(tmp_path / 'two.pth')
    assert sorted(one) == sorted(two)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_distillation_of_low_rank_model(tokenizer_dir, tmp_path):
    """Distil the whole model.

    The momentum model starts with the low-rank factors of the student.
    """
    dense = make_pretraining(tokenizer_dir)
    dense(**caption_batch(), mode='loss')
    assert dense.ema_model.steps == 1
    path = tmp_path / 'dense.pth'
    torch.save(dict(state_dict=dense.state_dict()), path)
    cfg = dict(
        type='mmvlfusion.PELADistiller',
        student=dict(
            type='mmvlfusion.LowRank',
            module=pretraining_config(tokenizer_dir),
            exclude=[r'(^|\.)objectives\.', r'(^|\.)cls\.'],
        ),
        teacher_ckpt=str(path),
        features=[r'text_encoder(\.encoder)+\.layer\.\d+', r'fusion\.layers\.\d+'],
        feature_pass='tensor',
    )
    distiller = MODELS.build(copy.deepcopy(cfg))
    distiller.init_weights()
    student = distiller.train().student
    assert student.ema_model.steps == 0
    losses = distiller(**caption_batch(), mode='loss')
    assert {'loss_fd', 'loss_rwp', 'loss_mlm'} < set(losses)
    average = dict(student.ema_model.module.named_parameters())
    for name, parameter in student.named_parameters():
        if name in average:
            assert torch.equal(parameter, average[name]), name
    sum(losses.values()).backward()
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    distiller(**caption_batch(), mode='loss')
    moved = (
        average['fusion.layers.0.ffn.layers.1.up']
        - dict(student.named_parameters())['fusion.layers.0.ffn.layers.1.up']
    )
    assert torch.allclose(moved, torch.full_like(moved, -0.9))
    # Low-rank factors are loaded unchanged.
    student.load_state_dict(student.state_dict())
    assert student.ema_model.steps == 2
    distiller = MODELS.build(dict(cfg, feature_pass='loss'))
    distiller.init_weights()
    with pytest.raises(ValueError, match="feature_pass='tensor'"):
        distiller(**caption_batch(), mode='loss')


def test_masked_language_head_shares_embeddings_and_starts_from_bert(
    tokenizer_dir, tmp_path
):
    words = len(transformers.AutoTokenizer.from_pretrained(tokenizer_dir))
    bert = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=words,
            hidden_size=D,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        )
    )
    bert.save_pretrained(tmp_path)
    objective = dict(
        type='mmvlfusion.MaskedLanguageObjective',
        share_embeddings=True,
        pretrained=str(tmp_path),
    )
    model = make_pretraining(
        tokenizer_dir, [], head=None, objectives=dict(mlm=objective)
    )
    head, published = model.objectives['mlm'].head, bert.cls.predictions
    torch.testing.assert_close(
        head.transform.dense.weight, published.transform.dense.weight
    )
    for part in (model, model.ema_model.module):
        embeddings = part.text_encoder.encoder.get_input_embeddings()
        assert part.objectives['mlm'].head.decoder.weight is embeddings.weight
    # The text encoder initialises the words.
    assert not torch.equal(head.decoder.weight, published.decoder.weight)
    model(**caption_batch(), mode='loss')['loss_mlm'].backward()
    text_encoder = dict(
        type='mmvlfusion.TextEncoder', config=dict(BERT, vocab_size=words + 1)
    )
    with pytest.raises(ValueError, match='set vocab_size of the text encoder acc'):
        make_pretraining(
            tokenizer_dir,
            [],
            head=None,
            objectives=dict(mlm=objective),
            text_encoder=text_encoder,
        )
