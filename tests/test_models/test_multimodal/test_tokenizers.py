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


def test_rejects_checkpoint_of_another_tokenizer(build_vqa, tmp_path):
    model = build_vqa()
    train = load_tool('dataset_converters/build_tokenizer.py').train_tokenizer
    train(['some other words'], 100, 1).save_pretrained(tmp_path)
    other = build_vqa(tokenizer=str(tmp_path))
    with pytest.raises(ValueError, match='made with another tokenizer'):
        other.load_state_dict(model.state_dict(), strict=False)
    build_vqa().load_state_dict(model.state_dict())
