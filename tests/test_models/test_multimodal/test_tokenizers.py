"""Truncation of texts, and tokenizers of checkpoints."""

import pytest
import torch

from mmvlfusion.models.multimodal import tokenizers

from ...helpers import D, load_tool, question_sample


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
