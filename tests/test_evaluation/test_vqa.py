"""Scores of answers, compared with manual values."""

from concurrent.futures import ThreadPoolExecutor

import mmengine
import pytest
from mmpretrain.structures import DataSample

from mmvlfusion.evaluation import (
    DumpAnswers,
    DumpSamples,
    ExactMatchAccuracy,
    VQAScore,
)
from mmvlfusion.evaluation.functional.vqa import agreement, normalize, same_answer
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


@pytest.mark.parametrize('number', [2, 3, 5, 9, 10, 11])
def test_agreement_of_any_number_of_annotators(number):
    """Compare with the mean over the subsets without one annotator."""
    for count in range(number + 1):
        answers = ['yes'] * count + ['no'] * (number - count)
        brute = [
            min(1, (answers[:i] + answers[i + 1 :]).count('yes') / 3)
            for i in range(number)
        ]
        expected = pytest.approx(sum(brute) / number)
        assert agreement(count / number, number) == expected
        counts = {'yes': count, 'no': number - count}
        counts = {answer: times for answer, times in counts.items() if times}
        sample = answered(1, 'yes', counts, num_annotators=number)
        assert evaluate(VQAScore(by=()), [sample])['VQA/acc'] / 100 == expected


@pytest.mark.parametrize(
    'pred, answer',
    [('Yes', 'yes'), ('2', 'two'), ('a dog', 'dog'), ('t shirt', 'T-shirt')],
)
def test_one_annotator_is_compared_after_normalization(pred, answer):
    """One person's answer is not the agreement of ten."""
    one = answered(1, pred, {answer: 1}, num_annotators=1)
    text = dict(one, gt_answer=answer, gt_answer_weight=None, num_annotators=None)
    ten = dict(one, num_annotators=10)
    for sample, score in ((one, 100), (text, 100), (ten, 0)):
        assert evaluate(VQAScore(by=()), [sample]) == {'VQA/acc': score}
    # Data sets that repeat one person's answer.
    assert evaluate(VQAScore(by=(), num_annotators=1), [ten]) == {'VQA/acc': 100}
    wrong = dict(one, pred_answer='cat')
    assert evaluate(VQAScore(by=()), [wrong]) == {'VQA/acc': 0}


@pytest.mark.parametrize(
    'spaced, text',
    [
        ('t - shirt', 't-shirt'),
        ('off - white', 'off-white'),
        ('2. 5', '2.5'),
        ('5 : 30', '5:30'),
        ('50 %', '50%'),
        ('$ 5', '$5'),
        ('u. s. a.', 'u.s.a.'),
        ('black/white', 'black / white'),
        ('红 色', '红色'),
        ('赤 い 星', '赤い星'),
    ],
)
def test_spaces_at_marks_do_not_count(spaced, text):
    """Tokenizers do not keep these spaces; other spaces and words do count."""
    for counts in ({text: 10}, {text: 5, 'other': 5}):
        for pred, truth in ((spaced, counts), (text, counts)):
            assert evaluate(VQAScore(by=()), [answered(1, pred, truth)]) == {
                'VQA/acc': 100.0
            }
    sample = dict(question_id=1, pred_answer=spaced, gt_answer=text)
    assert evaluate(ExactMatchAccuracy(), [sample]) == {'GQA/acc': 100.0}
    assert not same_answer(spaced + ' x', text)
    assert not same_answer('25', '2.5')


def test_ordinary_answers_score_as_in_official_evaluation():
    """Answers without spaces at marks are compared as by the official script."""
    answers = [
        *('yes', 'no', 'Yes', '2', 'two', '3', 'red', 'a dog', 'dog', 'The dog.'),
        *('red and white', 'red, white', 'red white', 'red & white', 'on the left'),
        *('left', "don't know", 'dont know', "it's", 'its', 't-shirt', 't shirt'),
        *('tshirt', '2.5', '25', '2 5', '1,000', '1000', '5:30', '530', '50%', '50'),
        *('$5', '5', 'u.s.a.', 'usa', 'us', 'st. louis', 'st louis', 'black/white'),
        *('black white', 'blackwhite', "o'clock", 'oclock', 'wii remote', 'à gauche'),
        *('a gauche', 'gauche', 'café', 'cafe', "men's", 'mens', 'men', '10 feet'),
    ]
    for first in answers:
        for second in answers:
            assert same_answer(first, second) == (normalize(first) == normalize(second))
            assert same_answer(first, second, normalized=False) == (first == second)


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


def test_samples_without_identity_all_count():
    samples = [dict(pred_answer='yes', gt_answer=answer) for answer in ('yes', 'no')]
    assert evaluate(ExactMatchAccuracy(), samples) == {'GQA/acc': 50.0}


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


def test_dump_rejects_two_questions_of_one_id(tmp_path):
    """Repeats of a question by a sampler are accepted."""
    first = dict(question_id=0, question='How many?', pred_answer='two', img_path='a')
    other = dict(first, question='Is it?', pred_answer='no')
    path = tmp_path / 'answers.json'
    for changed in (other, dict(first, img_path='b')):
        with pytest.raises(ValueError, match='question_id 0 belongs to two .*How many'):
            DumpAnswers(str(path)).process({}, [first, changed])
    # The questions of two ranks meet at the end.
    metric = DumpAnswers(str(path))
    results = []
    for sample in (first, other):
        metric = DumpAnswers(str(path))
        metric.process({}, [sample, sample])
        results += metric.results
    with pytest.raises(ValueError, match='question_id 0 belongs to two'):
        metric.compute_metrics(results)
    assert not path.exists()
    # The file of GQA has texts as ids.
    with pytest.raises(ValueError, match='question_id 0 belongs to two'):
        DumpAnswers(str(path), 'gqa').process({}, [first, dict(other, question_id='0')])
    # A second evaluation starts anew.
    metric = DumpAnswers(str(path))
    assert evaluate(metric, [first]) == evaluate(metric, [other]) == {}


def test_samples_are_written_once(tmp_path):
    """A sampler repeats images so that all ranks have the same number."""
    path = tmp_path / 'samples.pkl'
    samples = [dict(question_id=i, img_path='a', pred_answer='no') for i in (0, 1, 0)]
    samples.append(dict(samples[0], img_path='b'))
    evaluate(DumpSamples(out_file_path=str(path)), samples)
    assert mmengine.load(path) == [samples[0], samples[1], samples[3]]


def test_rejects_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match='num_annotators=0 must be at least 1'):
        VQAScore(num_annotators=0)
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
