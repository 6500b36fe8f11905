"""Truncation of texts, and tokenizers of checkpoints."""

import warnings

import pytest
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from mmvlfusion.models.multimodal import tokenizers
from mmvlfusion.models.multimodal.tokenizers import decode, train_tokenizer

from ...helpers import D, load_tool, question_sample, vqa_batch


def test_truncated_questions_are_logged(build_vqa, monkeypatch):
    model = build_vqa(max_text_length=6)
    data = model.data_preprocessor(
        dict(
            inputs=[torch.zeros(3, 32, 32)],
            data_samples=[question_sample('is the red star left of the circle?')],
        )
    )
    messages = []
    monkeypatch.setattr(
        tokenizers, 'print_log', lambda message, **kwargs: messages.append(message)
    )
    assert model(**data).tokens.shape == (1, 3, D)
    assert '1 of 1 texts have more than 6 tokens' in messages[0]


TEXTS = [
    *('t-shirt', 'off-white', '2.5', '1,000', '5:30 p.m.', '50%', '$5', 'u.s.a.'),
    *("o'clock", "don't know", 'i do not know', 'black, white', 'black/white'),
    *(
        'à gauche',
        'café',
        'l\u2019église',
        '红色的星',
        '赤い星がある',
        '빨간 별',
        'नीले तारे',
    ),
    'a man in a t-shirt, with a $5 bill. he smiles!',
]


def test_texts_come_back(tmp_path):
    """The tokens of a text give the text."""
    train_tokenizer(TEXTS, 1000, 1).save_pretrained(tmp_path)
    for tokenizer in (
        transformers.AutoTokenizer.from_pretrained(tmp_path),
        transformers.BertTokenizer.from_pretrained(tmp_path),
    ):
        ids = tokenizer(TEXTS, padding=True, return_tensors='pt')['input_ids']
        assert tokenizer.unk_token_id not in ids
        assert decode(tokenizer, ids) == TEXTS


def test_tokenizer_that_removes_accents_is_reported(build_vqa, tmp_path):
    train_tokenizer(['a gauche', 'à gauche', 'l\u2019abbé'], 60, 1).save_pretrained(
        tmp_path
    )
    uncased = transformers.AutoTokenizer.from_pretrained(tmp_path, strip_accents=None)
    assert uncased.tokenize('à gauche') == uncased.tokenize('a gauche')
    model = build_vqa(tokenizer=str(tmp_path))
    fused = model(**model.data_preprocessor(vqa_batch()))
    samples = [question_sample('?', 'À gauche'), *[question_sample('?', 'a')] * 2]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.head.loss(fused, samples)
    model.head.tokenizer = uncased
    with pytest.warns(UserWarning, match=f'{tmp_path}.* changes letters'):
        model.head.loss(fused, samples)


def test_tokenizer_that_keeps_spaces_is_followed():
    """Byte-level tokenizers give any text unchanged."""
    texts = ['black / white', 't - shirt .', *TEXTS]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, vocab_size=300, show_progress=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer
    )
    for text in texts:
        ids = torch.tensor([tokenizer(text)['input_ids']])
        assert decode(tokenizer, ids) == [text]


@pytest.mark.parametrize('words, number', [(0, 1), (3, 4), (9, 6)])
def test_texts_without_end_token(build_vqa, words, number):
    """The published mPLUG reads the start token and the words of a text."""
    model = build_vqa(max_text_length=6, text_end_token=False)
    texts = [' '.join(['red'] * words), 'red']
    ids, mask = model.tokenize(texts, torch.device('cpu'))
    start = model.tokenizer.cls_token_id
    (red,) = model.tokenizer('red', add_special_tokens=False)['input_ids']
    assert ids[0, :number].tolist() == [start] + [red] * (number - 1)
    assert ids[1, :2].tolist() == [start, red]
    mask = torch.ones_like(ids) if mask is None else mask
    assert mask.sum(1).tolist() == [number, 2]


def test_rejects_texts_without_tokens(build_vqa, tokenizer_dir, tmp_path):
    """A tokenizer such as that of T5 adds an end token only."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    backend = AutoTokenizer.from_pretrained(tokenizer_dir).backend_tokenizer
    backend.post_processor = TemplateProcessing(
        '$0 [SEP]', special_tokens=[('[SEP]', 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token='[PAD]', eos_token='[SEP]'
    ).save_pretrained(tmp_path)
    build_vqa(tokenizer=str(tmp_path))
    with pytest.raises(
        ValueError, match=r"adds \['\[SEP\]'\]: set text_end_token=True"
    ):
        build_vqa(tokenizer=str(tmp_path), text_end_token=False)


def test_rejects_checkpoint_of_another_tokenizer(build_vqa, tmp_path):
    model = build_vqa()
    train = load_tool('dataset_converters/build_tokenizer.py').train_tokenizer
    train(['some other words'], 100, 1).save_pretrained(tmp_path)
    other = build_vqa(tokenizer=str(tmp_path))
    with pytest.raises(ValueError, match='made with another tokenizer'):
        other.load_state_dict(model.state_dict(), strict=False)
    build_vqa().load_state_dict(model.state_dict())
