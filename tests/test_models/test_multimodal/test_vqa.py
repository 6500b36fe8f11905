"""The model that answers questions: parts, batches, and what does not fit."""

import copy

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample

from mmvlfusion.models.multimodal import tokenizers
from mmvlfusion.models.multimodal.heads import generation

from ...helpers import BERT, TNT, D, load_tool

T5 = dict(model_type='t5', d_model=D, d_kv=12, d_ff=32, num_layers=1, num_heads=2)
BACKBONES = {
    'tnt': (TNT, 24),
    'low-rank': (
        dict(
            type='mmvlfusion.LowRank',
            module='mmvlfusion.TNT',
            exclude='tnt',
            **{k: v for k, v in TNT.items() if k != 'type'},
        ),
        24,
    ),
    'resnet': (
        dict(
            type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(3,)
        ),
        64,
    ),
    'vit': (
        dict(
            type='VisionTransformer',
            img_size=32,
            patch_size=8,
            out_type='featmap',
            arch=dict(
                embed_dims=12, num_layers=1, num_heads=2, feedforward_channels=16
            ),
        ),
        12,
    ),
    'swin': (
        dict(
            type='SwinTransformer',
            img_size=32,
            window_size=2,
            pad_small_map=True,
            arch=dict(embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)),
        ),
        32,
    ),
}
ANSWERS = ['yes', 'no', 'red star', '2']
QUESTIONS = [
    'is there a red star?',
    'how many squares are there?',
    'what color is the circle?',
]
HEADS = {
    'greedy': dict(type='mmvlfusion.TextGenerationHead', decoder=BERT),
    'beam': dict(type='mmvlfusion.TextGenerationHead', decoder=BERT, num_beams=3),
    'rank': dict(
        type='mmvlfusion.TextGenerationHead',
        decoder=BERT,
        answers=ANSWERS,
        num_candidates=3,
    ),
    'classify': dict(
        type='mmvlfusion.AnswerClassificationHead', answers=ANSWERS, in_channels=D
    ),
}


@pytest.fixture
def build(tokenizer_dir):

    def config(backbone='tnt', head='greedy', text=BERT, **kwargs):
        backbone, channels = copy.deepcopy(BACKBONES.get(backbone, (None, None)))
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
                head=copy.deepcopy(HEADS.get(str(head), head)),
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


def sample(question, *answers, **fields):
    made = DataSample()
    fields.update(question=question)
    if answers:
        fields.update(
            gt_answer=list(answers), gt_answer_weight=[1 / len(answers)] * len(answers)
        )
    for key, value in fields.items():
        made.set_field(value, key)
    return made


def group(samples):
    made = DataSample()
    made.set_field(list(samples), 'questions')
    return made


def batch(sizes=((32, 32), (32, 32))):
    """Two images, the first with two questions."""
    torch.manual_seed(1)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    return dict(
        inputs=images,
        data_samples=[
            group(
                [
                    sample(QUESTIONS[0], 'yes', question_id=0),
                    sample(QUESTIONS[1], '2', 'no', question_id=1),
                ]
            ),
            group([sample(QUESTIONS[2], 'red star', question_id=2)]),
        ],
    )


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('head', ['greedy', 'classify'])
def test_training_step(build, backbone, head):
    """Every parameter takes part, whatever the backbone."""
    model = build(backbone, head).train()
    data = model.data_preprocessor(batch(), training=True)
    loss, logged = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert logged['loss_answer'] > 0
    assert [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ] == []


@pytest.mark.parametrize('head', HEADS)
def test_answers(build, head):
    model = build(head=head)
    out = model.val_step(batch())
    assert [s.question_id for s in out] == [0, 1, 2]
    fused = model(**model.data_preprocessor(batch()))
    if head == 'classify':
        scores, classes = model.head(fused).sigmoid().max(1)
        answers = [ANSWERS[i] for i in classes]
    else:
        search = model.head._rank if head == 'rank' else model.head._generate
        answers, log_probs = search(fused)
        scores = log_probs.exp()
    assert [s.pred_answer for s in out] == answers
    torch.testing.assert_close(torch.tensor([s.pred_score for s in out]), scores)


@pytest.mark.parametrize('head', ['greedy', 'classify'])
def test_bf16(build, head):
    model = build(head=head)
    data = model.data_preprocessor(batch())
    plain = model(**data, mode='loss')['loss_answer']
    with torch.autocast('cpu', torch.bfloat16):
        half = model(**data, mode='loss')['loss_answer']
        answers = model(**data, mode='predict')
    torch.testing.assert_close(half, plain, rtol=0.05, atol=0.05)
    assert len(answers) == 3


def test_t5_encoder(build):
    model = build(text=T5).train()
    data = model.data_preprocessor(batch(), training=True)
    model(**data, mode='loss')['loss_answer'].backward()
    assert [n for n, p in model.text_encoder.named_parameters() if p.grad is None] == []


def test_grouping_changes_no_answer(build):
    """An image encoded once for all questions, or once for each."""
    model = build()
    data = batch()
    together = model.forward(**model.data_preprocessor(data))
    flat = dict(
        inputs=[data['inputs'][i] for i in (0, 0, 1)],
        data_samples=[s for group in data['data_samples'] for s in group.questions],
    )
    alone = model.data_preprocessor(flat)
    assert alone['image_index'] is None and alone['image_mask'] is None
    torch.testing.assert_close(model.forward(**alone).tokens, together.tokens)
    stacked = dict(flat, inputs=torch.stack(flat['inputs']))
    torch.testing.assert_close(
        model.forward(**model.data_preprocessor(stacked)).tokens, together.tokens
    )


@pytest.mark.parametrize('backbone', ['tnt', 'resnet'])
@pytest.mark.parametrize(
    'fusion', ['JointAdaptiveFusion', 'ConcatFusion', 'CrossAttentionFusion']
)
def test_padding_changes_no_answer(build, backbone, fusion):
    """Images of several sizes and longer questions beside one."""
    kwargs = (
        {}
        if fusion.startswith('Joint')
        else dict(
            fusion=dict(
                type=f'mmvlfusion.{fusion}',
                embed_dims=D,
                num_heads=2,
                image_channels=BACKBONES[backbone][1],
                num_layers=1,
            )
        )
    )
    model = build(backbone, **kwargs)
    data = batch([(32, 64), (64, 32)])
    prepared = model.data_preprocessor(data)
    assert prepared['images'].shape == (2, 3, 64, 64)
    assert prepared['image_mask'].sum(dim=(1, 2)).tolist() == [2048, 2048]
    together = model(**prepared)
    for number, (image, own) in enumerate([(0, 0), (0, 1), (1, 0)]):
        one = dict(
            inputs=[data['inputs'][image]],
            data_samples=[data['data_samples'][image].questions[own]],
        )
        alone = model(**model.data_preprocessor(one))
        real = together.tokens[number][together.mask[number]]
        torch.testing.assert_close(real, alone.tokens[0], rtol=1e-4, atol=1e-5)


def test_question_only(build, tokenizer_dir):
    """The control without backbone: no image changes an answer."""
    model = build(
        backbone=None,
        fusion=dict(
            type='mmvlfusion.TextOnlyFusion', embed_dims=D, num_heads=2, num_layers=1
        ),
    ).train()
    data = model.data_preprocessor(batch(), training=True)
    model(**data, mode='loss')['loss_answer'].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    tokens = model.eval()(**data).tokens
    data['images'] = data['images'] + 1
    torch.testing.assert_close(model(**data).tokens, tokens)


def test_probability_of_an_answer(build):
    """The chain rule over the decoder's steps, and its place in the loss."""
    model = build()
    data = model.data_preprocessor(batch())
    fused, head = model(**data), model.head
    words = ['yes', 'how many squares', 'red star']
    ids = head.encode(words, torch.device('cpu'))
    scores = head(fused, ids)
    for row, text in enumerate(words):
        tokens = [
            head.start,
            *model.tokenizer(text, add_special_tokens=False)['input_ids'],
            head.end,
        ]
        total = 0.0
        for i in range(1, len(tokens)):
            logits = head.decoder(
                torch.tensor([tokens[:i]]),
                encoder_hidden_states=fused.tokens[row : row + 1],
            ).logits
            total += logits[0, -1].log_softmax(0)[tokens[i]]
        torch.testing.assert_close(scores[row], total)
    samples = [sample(q, a) for q, a in zip(QUESTIONS, words)]
    torch.testing.assert_close(head.loss(fused, samples)['loss_answer'], -scores.mean())


def greedy(model, fused):
    """The best next token, again and again, without a cache."""
    head = model.head
    ids = torch.full((3, 1), head.start)
    for _ in range(head.max_length - 1):
        logits = head.decoder(
            ids, use_cache=False, encoder_hidden_states=fused.tokens
        ).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    stops = [(row == head.end).nonzero().flatten().tolist() for row in ids]
    return [
        model.tokenizer.decode(
            row[: stop[0]] if stop else row, skip_special_tokens=True
        )
        for row, stop in zip(ids, stops)
    ]


def test_search(build, monkeypatch):
    """Greedy takes the best next token; beams and ranking find what is at least
    as probable."""
    model = build()
    fused, head = model(**model.data_preprocessor(batch())), model.head
    words, scores = head._generate(fused)
    assert words == greedy(model, fused)
    head.num_beams = 4
    assert (head._generate(fused)[1] >= scores - 1e-4).float().mean() > 0.5

    ranked = build(head='rank').head
    ranked.load_state_dict(head.state_dict())
    ids = head.encode(ANSWERS, torch.device('cpu'))
    every = torch.stack([head(fused, row.expand(3, -1)) for row in ids])
    # Of the three answers with the most probable first token, the best one.
    start = head.decoder(
        torch.full((3, 1), head.start), encoder_hidden_states=fused.tokens
    ).logits[:, -1]
    unlikely = start[:, ids[:, 1]].argmin(1)
    among = every.clone()
    among[unlikely, torch.arange(3)] = -torch.inf
    best, values = ranked._rank(fused)
    torch.testing.assert_close(values, among.amax(0))
    assert best == [ANSWERS[i] for i in among.argmax(0)]
    ranked.num_candidates = 4
    best, values = ranked._rank(fused)
    torch.testing.assert_close(values, every.amax(0))
    assert best == [ANSWERS[i] for i in every.argmax(0)]
    monkeypatch.setattr(generation, 'MAX_RANKED', 8)
    torch.testing.assert_close(ranked._rank(fused)[1], values)


def test_search_from_the_token_of_the_padding(build, tokenizer_dir, tmp_path):
    """Where there is no other to begin with, as T5 has none."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token='[PAD]',
        eos_token='[SEP]',
        unk_token='[UNK]',
    ).save_pretrained(tmp_path)
    model = build(tokenizer=str(tmp_path))
    assert model.head.start == model.tokenizer.pad_token_id
    fused = model(**model.data_preprocessor(batch()))
    assert model.head._generate(fused)[0] == greedy(model, fused)


def test_soft_targets(build):
    """Two of ten count 0.6, five count 1, answers that the score takes for one
    count together; answers off the list are none."""
    head = build(head='classify').head
    fused = build().forward(**build().data_preprocessor(batch()))
    s = sample('?', 'yes', '2', 'two', 'green')
    s.gt_answer_weight = [0.5, 0.1, 0.1, 0.3]
    logits = head(fused)[:1]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.tensor([[1.0, 0, 0, 0.6]]), reduction='sum'
    )
    fused = type(fused)(fused.tokens[:1], fused.mask[:1])
    torch.testing.assert_close(head.loss(fused, [s])['loss_answer'], expected)


def test_cut_questions_are_told(build, monkeypatch):
    model = build(max_text_length=6)
    data = model.data_preprocessor(
        dict(
            inputs=[torch.zeros(3, 32, 32)],
            data_samples=[sample('is the red star left of the circle?')],
        )
    )
    told = []
    monkeypatch.setattr(
        tokenizers, 'print_log', lambda message, **kwargs: told.append(message)
    )
    assert model(**data).tokens.shape == (1, 3, D)
    assert '1 of 1 texts have more than 6 tokens' in told[0]


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(max_text_length=21), '21 is above the 20 positions'),
        (dict(text=dict(BERT, hidden_size=12)), '12 channels, but .*embed_dims=24'),
        (dict(text=dict(BERT, vocab_size=9)), 'vocab_size=9 of the bert is below'),
        (dict(head='classify', share_embeddings=True), 'set share_embeddings=Fal'),
        (
            dict(head=dict(HEADS['classify'], in_channels=12)),
            'AnswerClassificationHead takes 12 channels, .* embed_dims=24',
        ),
        (
            dict(head=dict(HEADS['greedy'], decoder=dict(BERT, hidden_size=12))),
            'TextGenerationHead takes 12 channels',
        ),
        (dict(tokenizer='nowhere/words'), 'Cannot load the tokenizer'),
        (dict(tokenizer='checkpoints/words'), 'checkpoints/words is missing'),
        (dict(tokenizer='/nowhere'), '/nowhere is missing'),
        (
            dict(
                fusion=dict(type='mmvlfusion.TextOnlyFusion', embed_dims=D, num_heads=2)
            ),
            'reads no image: set backbone=None',
        ),
    ],
)
def test_parts_that_do_not_fit(build, kwargs, match):
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        build(**kwargs)


def test_bad_batches(build):
    model = build()
    image = torch.zeros(3, 32, 32)

    def run(model, *samples, mode='tensor'):
        model(
            **model.data_preprocessor(
                dict(inputs=[image], data_samples=[group(samples)])
            ),
            mode=mode,
        )

    with pytest.raises(ValueError, match='Question 5 on the image a.jpg is em'):
        run(model, sample(' ', question_id=5, img_path='a.jpg'))
    with pytest.raises(ValueError, match='has no answer to train on'):
        run(model, sample('why?'), mode='loss')
    with pytest.raises(ValueError, match="mode='train' is not one of"):
        run(model, sample('why?'), mode='train')
    model.backbone.out_type = 'cls_token'
    with pytest.raises(ValueError, match='TNT returns .* set its out_type'):
        run(model, sample('why?'))
    model = build(
        'vit',
        fusion=dict(
            type='mmvlfusion.ConcatFusion',
            embed_dims=D,
            num_heads=2,
            image_channels=16,
            num_layers=1,
        ),
    )
    with pytest.raises(ValueError, match='set fusion.image_channels=12'):
        run(model, sample('why?'))


def test_other_tokenizers_checkpoint(build, tmp_path):
    model = build()
    train = load_tool('dataset_converters/build_tokenizer.py').train_tokenizer
    train(['some other words'], 100, 1).save_pretrained(tmp_path)
    other = build(tokenizer=str(tmp_path))
    with pytest.raises(ValueError, match='made with another tokenizer'):
        other.load_state_dict(model.state_dict(), strict=False)
    build().load_state_dict(model.state_dict())


def test_other_answers_checkpoint(build):
    """A list of the same length in another order is another."""
    model = build(head='classify')
    other = build(head=dict(HEADS['classify'], answers=ANSWERS[::-1]))
    with pytest.raises(ValueError, match='made with another list of answers'):
        other.load_state_dict(model.state_dict())
    build(head='classify').load_state_dict(model.state_dict())


def test_pretrained_text_encoder(build, tokenizer_dir, tmp_path):
    """Weights of a local folder, loaded when training starts."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    words = len(AutoTokenizer.from_pretrained(tokenizer_dir))
    config = {k: v for k, v in BERT.items() if k != 'model_type'}
    bert = BertModel(BertConfig(vocab_size=words, **config))
    bert.save_pretrained(tmp_path)
    encoder = dict(type='mmvlfusion.TextEncoder', pretrained=str(tmp_path))
    model = build(text_encoder=encoder)
    ids = torch.tensor([[2, 9, 3]])
    bert.eval()
    torch.testing.assert_close(model.text_encoder(ids), bert(ids)[0])
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    tokenizer.save_pretrained(tmp_path)
    build(text_encoder=encoder)
    load_tool('dataset_converters/build_tokenizer.py').train_tokenizer(
        ['some other words'], 100, 1
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='does not fit the weights of'):
        build(text_encoder=encoder)
    with pytest.raises(ValueError, match='needs config or pretrained'):
        build(text_encoder=dict(type='mmvlfusion.TextEncoder'))


def test_low_rank_and_distilled(build, tokenizer_dir, tmp_path):
    """PELA on the whole model, whose data are not those of a classifier."""
    teacher = build('vit')
    path = tmp_path / 'teacher.pth'
    torch.save(teacher.state_dict(), path)
    cfg = dict(build.config('vit'))
    student = dict(
        cfg,
        type='mmvlfusion.LowRank',
        module='mmvlfusion.VisualQuestionAnswering',
        ratio=2.0,
        exclude=['^head'],
    )
    distiller = MODELS.build(
        dict(
            type='mmvlfusion.PELADistiller',
            student=student,
            teacher_ckpt=str(path),
            features=['fusion.stages.*.*'],
            form='code',
        )
    )
    distiller.init_weights()
    data = distiller.data_preprocessor(batch(), training=True)
    losses = distiller.train()(**data, mode='loss')
    assert {'loss_answer', 'loss_fd', 'loss_rwp'} <= set(losses)
    sum(losses.values()).backward()
    assert len(distiller.eval().val_step(batch())) == 3


def test_video(build):
    """The answers to a video of one frame are those to the image; more frames
    are more tokens."""
    model = build()
    data = batch()
    images = torch.stack(data['inputs'])
    videos = dict(data, inputs=list(images[:, None]))
    for image, video in zip(model.val_step(data), model.val_step(videos)):
        assert image.pred_answer == video.pred_answer
        assert image.pred_score == pytest.approx(video.pred_score, abs=1e-5)
    frames = images.float()[:, None].repeat(1, 3, 1, 1, 1)
    tokens, mask = model.encode_images(frames)
    assert tokens.shape[1] == 3 * model.encode_images(images.float())[0].shape[1]
    assert mask is None
