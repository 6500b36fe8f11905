"""Text encoders of the transformers library."""

import pytest
import torch

from ...helpers import BERT, D, load_tool, vqa_batch

T5 = dict(model_type='t5', d_model=D, d_kv=12, d_ff=32, num_layers=1, num_heads=2)


def test_t5_encoder_receives_gradients(build_vqa):
    model = build_vqa(text=T5).train()
    data = model.data_preprocessor(vqa_batch(), training=True)
    model(**data, mode='loss')['loss_answer'].backward()
    assert [n for n, p in model.text_encoder.named_parameters() if p.grad is None] == []


def test_pretrained_text_encoder_loads_local_weights(
    build_vqa, tokenizer_dir, tmp_path
):
    """Load weights from a local folder when training starts."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    words = len(AutoTokenizer.from_pretrained(tokenizer_dir))
    config = {k: v for k, v in BERT.items() if k != 'model_type'}
    bert = BertModel(BertConfig(vocab_size=words, **config))
    bert.save_pretrained(tmp_path)
    encoder = dict(type='mmvlfusion.TextEncoder', pretrained=str(tmp_path))
    model = build_vqa(text_encoder=encoder)
    ids = torch.tensor([[2, 9, 3]])
    bert.eval()
    torch.testing.assert_close(model.text_encoder(ids), bert(ids)[0])
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    tokenizer.save_pretrained(tmp_path)
    build_vqa(text_encoder=encoder)
    load_tool('dataset_converters/build_tokenizer.py').train_tokenizer(
        ['some other words'], 100, 1
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='does not fit the weights of'):
        build_vqa(text_encoder=encoder)
    with pytest.raises(ValueError, match='needs config or pretrained'):
        build_vqa(text_encoder=dict(type='mmvlfusion.TextEncoder'))
