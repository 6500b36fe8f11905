"""Scores of answers, compared with manual values."""

from concurrent.futures import ThreadPoolExecutor

import mmengine
import pytest
from mmpretrain.structures import DataSample

from mmvlfusion.evaluation import DumpAnswers, ExactMatchAccuracy, VQAScore
from mmvlfusion.evaluation.functional.vqa import agreement
from mmvlfusion.models.multimodal.heads.answers import load_answers


def answered(number, pred, counts, **fields):
    total = sum(counts.values())
    sample = DataSample()
    fields.update(
        question_id=number,
        pred_answer=pred,
        gt_answer=list(counts),
        gt_answer_weight=[count / total for count in counts.values()],
    )
    for key, value in fields.items():
        sample.set_field(value, key)
    return sample.to_dict()


def evaluate(metric, samples, size=1):
    metric.process({}, samples)
    return metric.evaluate(size)


@pytest.mark.parametrize(
    'count, score', [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)]
)
def test_agreement_matches_mean_over_subsets(count, score):
    """Compare with the mean of min(1, matches / 3) over ten subsets of nine."""
    assert agreement(count / 10) == pytest.approx(score)
    answers = ['yes'] * count + ['no'] * (10 - count)
    brute = [
        min(1, (answers[:i] + answers[i + 1 :]).count('yes') / 3) for i in range(10)
    ]
    assert agreement(count / 10) == pytest.approx(sum(brute) / 10)


@pytest.mark.parametrize(
    'pred, counts, score',
    [
        ('cat', {'cat': 3, 'dog': 7}, 90),
        # Case, articles, digits, punctuation and contractions are normalised.
        ('The Cat.', {'cat': 2, 'a cat': 1, 'dog': 7}, 90),
        ('two', {'2': 1, 'two': 1, '3': 8}, 60),
        ('dont know', {"don't know": 4, 'no': 6}, 100),
        ('t-shirt', {'t shirt': 4, 'coat': 6}, 100),
        ('1,000', {'1000': 4, '100': 6}, 100),
        # If all ten answers agree, only line breaks are removed.
        ('two', {'2': 10}, 0),
        ('red\n', {'red': 10}, 100),
        ('Yes', {'yes': 10}, 0),
    ],
)
def test_vqa_score_matches_official_score(pred, counts, score):
    metrics = evaluate(VQAScore(), [answered(1, pred, counts, answer_type='other')])
    assert metrics == {
        'VQA/acc': pytest.approx(score),
        'VQA/acc_other': pytest.approx(score),
    }


def test_repeated_questions_count_once():
    """Score two questions about one image, one of them repeated by a sampler."""
    samples = [
        answered(1, 'a b', {'a b': 10}, question_type='what'),
        answered(2, 'c', {'d': 10}, question_type='who'),
        answered(1, 'a b', {'a b': 10}, question_type='what'),
    ]
    assert evaluate(VQAScore(by=['question_type']), samples) == {
        'VQA/acc': 50.0,
        'VQA/acc_what': 100.0,
        'VQA/acc_who': 0.0,
    }
    # Concatenated data sets may use the same question ids.
    samples[2]['img_path'] = 'other.jpg'
    assert evaluate(VQAScore(by=()), samples)['VQA/acc'] == pytest.approx(200 / 3)


@pytest.mark.parametrize('metric', [VQAScore, ExactMatchAccuracy])
def test_rejects_questions_without_answers(metric):
    sample = dict(question='Why?', question_id=3, pred_answer='so')
    with pytest.raises(ValueError, match=r"Question 3 'Why\?' has no answer"):
        metric().process({}, [sample])


def test_score_combines_all_ranks(run_tool, free_port):
    """Two processes have three and two questions, one of them repeated.

    The results are not cut to the number of images.
    """
    script = """
import sys, torch.distributed as dist
from mmvlfusion.evaluation import VQAScore
rank = int(sys.argv[1])
dist.init_process_group("gloo", rank=rank, world_size=2)
metric = VQAScore(by=())
numbers = [[1, 2, 3], [4, 1]][rank]
metric.process({}, [dict(question_id=n, pred_answer="yes", gt_answer=[
    "yes" if n == 1 else "no"], gt_answer_weight=[1.]) for n in numbers])
print(rank, metric.evaluate(2))
dist.barrier()
dist.destroy_process_group()
"""
    env = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port)
    with ThreadPoolExecutor(2) as pool:
        outputs = list(
            pool.map(lambda rank: run_tool('-c', script, rank, env=env), range(2))
        )
    for rank, output in enumerate(outputs):
        assert f"{rank} {{'VQA/acc': 25.0}}" in output


def test_exact_match_accuracy():
    samples = [answered(i, 'Yes.', {'x': 1}) for i in range(2)]
    for sample, truth in zip(samples, ('yes', 'no')):
        sample['gt_answer'] = truth
    assert evaluate(ExactMatchAccuracy(), samples) == {'GQA/acc': 50.0}
    assert evaluate(ExactMatchAccuracy(prefix='SNLI-VE'), samples) == {
        'SNLI-VE/acc': 50.0
    }


@pytest.mark.parametrize(
    'form, expected',
    [
        ('vqa', [dict(question_id=7, answer='red'), dict(question_id=8, answer='2')]),
        (
            'gqa',
            [
                dict(questionId='7', prediction='red'),
                dict(questionId='8', prediction='2'),
            ],
        ),
    ],
)
def test_dump_has_format_of_evaluation_server(tmp_path, form, expected):
    path = tmp_path / 'new' / 'answers.json'
    samples = [
        dict(question_id=7, pred_answer='red'),
        dict(question_id=8, pred_answer='2'),
        dict(question_id=7, pred_answer='red'),
    ]
    assert evaluate(DumpAnswers(str(path), form), samples) == {}
    assert mmengine.load(path) == expected
    with pytest.raises(ValueError, match='has no question_id'):
        DumpAnswers(str(path)).process({}, [dict(question='Why?')])


def test_rejects_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match='must end in .json'):
        DumpAnswers('answers.txt')
    with pytest.raises(ValueError, match="form='coco' is not one of"):
        DumpAnswers('answers.json', form='coco')
    with pytest.raises(ValueError, match=r"duplicates: \['yes'\]"):
        load_answers(['yes', 'no', 'Yes'])
    path = tmp_path / 'answers.json'
    mmengine.dump([], path)
    with pytest.raises(ValueError, match='answers.json is empty'):
        load_answers(str(path))
