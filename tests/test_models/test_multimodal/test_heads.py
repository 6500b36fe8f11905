"""Heads that generate or classify answers."""

import math

import pytest
import torch
from transformers import BertTokenizerFast

from mmvlfusion.models.multimodal.fusion import FusionOutput
from mmvlfusion.models.multimodal.heads import TextGenerationHead, generation
from mmvlfusion.models.multimodal.tokenizers import (
    SPECIAL_TOKENS,
    decode,
    train_tokenizer,
)

from ...helpers import VQA_ANSWERS, VQA_HEADS, VQA_QUESTIONS, question_sample, vqa_batch


def test_answer_score_follows_chain_rule(build_vqa):
    """The score is the sum over decoding steps, and the loss is its mean."""
    model = build_vqa()
    data = model.data_preprocessor(vqa_batch())
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
    samples = [question_sample(q, a) for q, a in zip(VQA_QUESTIONS, words)]
    torch.testing.assert_close(head.loss(fused, samples)['loss_answer'], -scores.mean())


def greedy_decode(model, fused):
    """Decode greedily without a cache."""
    head = model.head
    ids = torch.full((3, 1), head.start)
    for _ in range(head.max_length):
        logits = head.decoder(
            ids, use_cache=False, encoder_hidden_states=fused.tokens
        ).logits
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    stops = [(row == head.end).nonzero().flatten().tolist() for row in ids]
    return [
        decode(model.tokenizer, row[None, : stop[0]] if stop else row[None])[0]
        for row, stop in zip(ids, stops)
    ]


def test_search_finds_most_probable_answer(build_vqa, monkeypatch):
    """Compare greedy search, beam search and ranking with references."""
    model = build_vqa()
    fused, head = model(**model.data_preprocessor(vqa_batch())), model.head
    words, scores = head._generate(fused)
    assert words == greedy_decode(model, fused)
    head.num_beams = 4
    assert (head._generate(fused)[1] >= scores - 1e-4).float().mean() > 0.5

    ranked = build_vqa(head='rank').head
    ranked.load_state_dict(head.state_dict())
    ids = head.encode(VQA_ANSWERS, torch.device('cpu'))
    all_scores = torch.stack([head(fused, row.expand(3, -1)) for row in ids])
    # The best of the three answers with the most probable first token.
    start = head.decoder(
        torch.full((3, 1), head.start), encoder_hidden_states=fused.tokens
    ).logits[:, -1]
    unlikely = start[:, ids[:, 1]].argmin(1)
    candidate_scores = all_scores.clone()
    candidate_scores[unlikely, torch.arange(3)] = -torch.inf
    best, values = ranked._rank(fused)
    torch.testing.assert_close(values, candidate_scores.amax(0))
    assert best == [VQA_ANSWERS[i] for i in candidate_scores.argmax(0)]
    ranked.num_candidates = 4
    best, values = ranked._rank(fused)
    torch.testing.assert_close(values, all_scores.amax(0))
    assert best == [VQA_ANSWERS[i] for i in all_scores.argmax(0)]
    monkeypatch.setattr(generation, 'MAX_RANKED', 8)
    torch.testing.assert_close(ranked._rank(fused)[1], values)


def sine_head(tmp_path, **kwargs):
    """Build a head with 19 words and weights that do not depend on the generator
    of random numbers, and fused tokens of eight samples."""
    words = [*SPECIAL_TOKENS, *(f'w{i}' for i in range(19))]
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    decoder = dict(
        model_type='bert',
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    head = TextGenerationHead(
        BertTokenizerFast(str(tmp_path / 'vocab.txt')), decoder, **kwargs
    ).eval()

    def sines(start, shape, rate):
        x = torch.arange(start, start + math.prod(shape), dtype=torch.float64)
        return torch.sin(rate * x * x + x).float().view(shape)

    number = 0
    with torch.no_grad():
        for name, parameter in sorted(head.named_parameters()):
            if 'LayerNorm' not in name:
                parameter.copy_(0.8 * sines(number, parameter.shape, 0.37))
                number += parameter.numel()
    fused = FusionOutput(2 * sines(0, (8, 4, 8), 0.11), torch.ones(8, 4).bool())
    return head, fused


@pytest.mark.parametrize(
    'options, end_bias, expected',
    [
        (
            dict(min_length=1, max_length=10),
            3.0,
            {0: 'w8 w11 w8', 1: ' '.join(['w8'] * 10), 4: 'w15', 7: 'w8 ' * 5 + 'w11'},
        ),
        (
            dict(min_length=8, max_length=25),
            4.0,
            {2: ' '.join(['w8'] * 25), 4: 'w15 w8 w9 w9 w0 w8 w15 w7 w8'},
        ),
        (
            dict(min_length=1, max_length=10, num_beams=5, length_penalty=0.24),
            3.0,
            {0: 'w8 w11 w8', 4: 'w9', 5: 'w8 w10', 6: 'w8', 7: 'w9 w8'},
        ),
        (
            dict(min_length=8, max_length=25, num_beams=5, length_penalty=0.4),
            4.0,
            {4: 'w6 w8 w6 w8 w0 w8 w16 w8', 6: ' '.join(['w8'] * 8)},
        ),
    ],
)
def test_generated_texts_equal_those_of_released_search(
    tmp_path, options, end_bias, expected
):
    """The released search of mPLUG made the expected texts from these weights.

    It counts new tokens, and divides log-probabilities by ((5 + n) / 6) ** 0.6.
    """
    head, fused = sine_head(tmp_path, **options)
    head.decoder.get_output_embeddings().bias.data[head.end] = end_bias
    texts, _ = head._generate(fused)
    assert {number: texts[number] for number in expected} == expected


@pytest.mark.parametrize(
    'twice, expected',
    [
        (True, ['w0', *['w8 w9'] * 3, 'w1', *['w8 w9'] * 2, 'w0']),
        (False, ['w0', 'w10', 'w0', 'w8 w9', 'w1', 'w10', 'w0', 'w0']),
    ],
)
def test_released_ranking_counts_first_token_twice(tmp_path, twice, expected):
    """The released ranking of mPLUG made the first expected answers from these
    weights."""
    answers = 'w0,w1 w2,w1,w3 w4,w5,w5 w6 w7,w8 w9,w10,w11 w12,w13,w14 w15,w16,w17 w18'
    head, fused = sine_head(
        tmp_path,
        answers=answers.split(','),
        num_candidates=4,
        count_first_token_twice=twice,
    )
    texts, scores = head._rank(fused)
    assert texts == expected
    # The score is the log-probability of the answer in both cases.
    torch.testing.assert_close(scores, head(fused, head.encode(texts, scores.device)))


def test_targets_are_truncated_to_their_own_length(tmp_path):
    """The length of generated answers does not limit the answers to train on."""
    answers = ['w1 w2 w3 w4 w5 w6', 'w1 w2 w3 w4 w5 w7']
    head, _ = sine_head(tmp_path, max_length=4, answers=answers)
    assert head.encode(answers, torch.device('cpu')).shape == (2, 5)
    head, _ = sine_head(tmp_path, max_length=4, max_target_length=32, answers=answers)
    ids = head.encode(answers, torch.device('cpu'))
    assert ids.shape == (2, 8) and not torch.equal(ids[0], ids[1])


def test_decoding_starts_from_padding_token(build_vqa, tokenizer_dir, tmp_path):
    """A tokenizer without a start token, such as that of T5, uses padding."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token='[PAD]',
        eos_token='[SEP]',
        unk_token='[UNK]',
    ).save_pretrained(tmp_path)
    model = build_vqa(tokenizer=str(tmp_path))
    assert model.head.start == model.tokenizer.pad_token_id
    fused = model(**model.data_preprocessor(vqa_batch()))
    assert model.head._generate(fused)[0] == greedy_decode(model, fused)


def test_generated_texts_have_spaces_by_rules(build_vqa, tmp_path):
    """A decoder that always writes a hyphen gives hyphens without spaces."""
    train_tokenizer(['a t-shirt'], 40, 1).save_pretrained(tmp_path)
    model = build_vqa(tokenizer=str(tmp_path))
    bias = model.head.decoder.get_output_embeddings().bias
    with torch.no_grad():
        bias[model.tokenizer.convert_tokens_to_ids('-')] = 1e4
    for sample in model.val_step(vqa_batch()):
        assert set(sample.pred_answer) == {'-'}


def test_soft_targets_of_answer_classification(build_vqa):
    """Two of ten answers give the target 0.6, and five give 1.

    Answers that are equal for the score are counted together. Answers that are not
    in the list are ignored.
    """
    head = build_vqa(head='classify').head
    fused = build_vqa().forward(**build_vqa().data_preprocessor(vqa_batch()))
    s = question_sample('?', 'yes', '2', 'two', 'green')
    s.gt_answer_weight = [0.5, 0.1, 0.1, 0.3]
    logits = head(fused)[:1]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.tensor([[1.0, 0, 0, 0.6]]), reduction='sum'
    )
    fused = type(fused)(fused.tokens[:1], fused.mask[:1])
    torch.testing.assert_close(head.loss(fused, [s])['loss_answer'], expected)


@pytest.mark.parametrize(
    'number, target', [(None, 0.6), (10, 0.6), (5, 4 / 15), (1, 1.0)]
)
def test_soft_targets_are_scores_of_annotators(build_vqa, number, target):
    """An answer of 20 % of ten or five annotators, or of the only annotator."""
    model = build_vqa(head='classify')
    fused = model(**model.data_preprocessor(vqa_batch()))
    fused = type(fused)(fused.tokens[:1], fused.mask[:1])
    sample = question_sample('?', 'Yes', 'green')
    sample.gt_answer_weight = [1.0, 0.0] if number == 1 else [0.2, 0.8]
    sample.set_field(number, 'num_annotators')
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        model.head(fused), torch.tensor([[target, 0, 0, 0]]), reduction='sum'
    )
    loss = model.head.loss(fused, [sample])['loss_answer']
    torch.testing.assert_close(loss, expected)


def test_rejects_checkpoint_of_another_answer_list(build_vqa):
    """A list with the same answers in another order is rejected."""
    model = build_vqa(head='classify')
    other = build_vqa(head=dict(VQA_HEADS['classify'], answers=VQA_ANSWERS[::-1]))
    with pytest.raises(ValueError, match='made with another list of answers'):
        other.load_state_dict(model.state_dict())
    build_vqa(head='classify').load_state_dict(model.state_dict())
