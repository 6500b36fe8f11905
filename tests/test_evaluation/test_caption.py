"""Scores of captions."""

import shutil

import pytest

from mmvlfusion.evaluation import CaptionMetric, caption

REFERENCES = {
    1: ['a red star left of a blue square', 'a red star and a blue square'],
    2: ['two green circles', 'there are two green circles'],
    3: ['a heart', 'we see a heart'],
}


def evaluate(predicted, **kwargs):
    metric = CaptionMetric(**kwargs)
    metric.process(
        None,
        [
            dict(image_id=image, pred_caption=text, gt_caption=REFERENCES[image])
            for image, text in predicted.items()
        ],
    )
    return metric.evaluate(len(predicted))


@pytest.mark.parametrize(
    'tokenizer',
    [
        'words',
        pytest.param(
            'ptb',
            marks=pytest.mark.skipif(shutil.which('java') is None, reason='no Java'),
        ),
    ],
)
def test_correct_captions_have_highest_scores(tokenizer):
    """Correct captions score 100 in BLEU-1 and ROUGE-L."""
    correct = evaluate({k: v[0] for k, v in REFERENCES.items()}, tokenizer=tokenizer)
    end = '_words' if tokenizer == 'words' else ''
    assert set(correct) == {
        f'caption/{name}{end}'
        for name in ('Bleu_1', 'Bleu_2', 'Bleu_3', 'Bleu_4', 'ROUGE_L', 'CIDEr')
    }
    assert correct[f'caption/Bleu_1{end}'] == pytest.approx(100)
    assert correct[f'caption/ROUGE_L{end}'] == pytest.approx(100)
    wrong = evaluate(
        dict(zip(REFERENCES, ('two hearts', 'a star', 'a circle'))), tokenizer=tokenizer
    )
    assert all(wrong[name] < correct[name] for name in correct)


def test_bleu_matches_manual_value():
    """Two of three words match, and the length is equal, so BLEU-1 is 2/3."""
    scores = evaluate({2: 'two red circles'}, tokenizer='words')
    assert scores['caption/Bleu_1_words'] == pytest.approx(200 / 3, abs=1e-3)


def test_words_ignore_case_and_punctuation():
    assert caption._words({1: ["A man's hat, isn't it?  Yes!"]}) == {
        1: ["a man's hat isn't it yes"]
    }


@pytest.mark.parametrize(
    'text, words',
    [
        ('红色的星、左边。', '红 色 的 星 左 边'),
        ('赤い星 2つ', '赤 い 星 2 つ'),
        ('लाल तारा', 'लाल तारा'),
        ('नीले तारे हैं', 'नीले तारे हैं'),
        ('ดาวสีแดง', 'ด า ว สี แ ด ง'),
        ('빨간 별', '빨간 별'),
        ('The dog\u2019s bowl', "the dog's bowl"),
        ('Cafe\u0301', 'caf\u00e9'),
        ("rock 'n' roll", 'rock n roll'),
        ('2.5 m_2', '2 5 m_2'),
    ],
)
def test_words_of_scripts(text, words):
    """Marks belong to words; characters of scripts without spaces are words."""
    assert caption._words({1: [text]}) == {1: [words]}


def test_images_are_identified_by_paths():
    """Two files may have the same id."""
    samples = [
        dict(img_path='a/1.jpg', pred_caption='two hearts', gt_caption='two hearts'),
        dict(img_path='b/1.jpg', pred_caption='a star', gt_caption='one big circle'),
    ]
    metric = CaptionMetric(tokenizer='words')
    scores = []
    for ids in ((1, 1), (1, 2)):
        metric.process(None, [dict(s, image_id=i) for s, i in zip(samples, ids)])
        scores.append(metric.evaluate(2))
    assert scores[0] == scores[1]
    assert scores[0]['caption/ROUGE_L_words'] == pytest.approx(50)


def test_repeated_images_count_once():
    metric = CaptionMetric(tokenizer='words')
    samples = [
        dict(image_id=image, pred_caption=texts[0], gt_caption=text)
        for image, texts in REFERENCES.items()
        for text in texts
    ]
    metric.process(None, samples)
    once = evaluate({k: v[0] for k, v in REFERENCES.items()}, tokenizer='words')
    assert metric.evaluate(len(samples)) == once


def test_tokenizer_falls_back_without_java(monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    assert CaptionMetric().tokenizer == 'words'
    with pytest.raises(ValueError, match='needs Java'):
        CaptionMetric(tokenizer='ptb')


def test_rejects_bad_input():
    with pytest.raises(ValueError, match="tokenizer='bert'"):
        CaptionMetric(tokenizer='bert')
    with pytest.raises(ValueError, match='image 7 has no caption'):
        CaptionMetric(tokenizer='words').process(
            None, [dict(image_id=7, pred_caption='a star')]
        )
    with pytest.raises(ValueError, match="'a star' has no img_path .*meta_keys"):
        CaptionMetric(tokenizer='words').process(
            None, [dict(pred_caption='a star', gt_caption='a star')]
        )
