"""Question data sets: formats, grouping and errors."""

import copy
import json

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from mmengine.registry import DATASETS, init_default_scope

from mmvlfusion.datasets import GQA, SNLIVE, VQAv2
from mmvlfusion.datasets.questions import read_questions
from mmvlfusion.datasets.transforms import LoadImage, PackQuestions

PIPELINE = [LoadImage(), PackQuestions()]


def build_host_dataset(kind, **files):
    """Build a data set of mmpretrain with the pipeline of mmvlfusion."""
    init_default_scope('mmpretrain')
    pipeline = [
        dict(type='mmvlfusion.LoadImage'),
        dict(type='mmvlfusion.PackQuestions'),
    ]
    return DATASETS.build(dict(type=kind, pipeline=pipeline, **files))


def write_images(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((6, 8, 3), np.uint8))


@pytest.fixture
def vqa(tmp_path):
    """Three questions about two images, in the format of VQA v2."""
    write_images(
        tmp_path / 'images',
        ['COCO_val2014_000000000007.jpg', 'COCO_val2014_000000000008.jpg'],
    )
    questions = [
        dict(image_id=7, question_id=70, question='What is it?'),
        dict(image_id=8, question_id=80, question='Is it red?'),
        dict(image_id=7, question_id=71, question='How many?'),
    ]
    answers = [['cat'] * 7 + ['dog'] * 3, ['no'] * 10, ['2'] * 4 + ['3'] * 6]
    annotations = [
        dict(
            image_id=q['image_id'],
            question_id=q['question_id'],
            question_type='what is',
            answer_type='other',
            answers=[
                dict(answer=a, answer_id=i, answer_confidence='yes')
                for i, a in enumerate(given)
            ],
        )
        for q, given in zip(questions, answers)
    ]

    def write(change=lambda questions, annotations: None):
        parts = copy.deepcopy((questions, annotations))
        change(*parts)
        for name, part in zip(('questions', 'annotations'), parts):
            (tmp_path / f'{name}.json').write_text(json.dumps({name: part}))
        return dict(
            data_root=str(tmp_path),
            data_prefix='images',
            question_file='questions.json',
            ann_file='annotations.json',
        )

    return write


def test_vqa_v2_groups_by_image(vqa):
    dataset = VQAv2(pipeline=PIPELINE, **vqa())
    assert len(dataset) == 2
    first = dataset[0]
    assert first['inputs'].shape == (3, 6, 8)
    asked = first['data_samples'].questions
    assert [sample.question_id for sample in asked] == [70, 71]
    assert asked[0].question == 'What is it?'
    assert asked[0].gt_answer == ['cat', 'dog']
    assert asked[0].gt_answer_weight == [0.7, 0.3]
    assert asked[0].num_annotators == 10
    assert asked[0].answer_type == 'other'
    assert asked[0].img_path.endswith('COCO_val2014_000000000007.jpg')
    assert asked[0].ori_shape == (6, 8)


def test_ungrouped_vqa_v2_matches_coco_vqa(vqa):
    """Samples without grouping have the fields of COCOVQA of mmpretrain."""
    files = vqa()
    dataset = VQAv2(pipeline=PIPELINE, group=False, **files)
    host = build_host_dataset('COCOVQA', **files)
    assert len(dataset) == len(host) == 3
    for ours, theirs in zip(dataset, host):
        ours, theirs = ours['data_samples'], theirs['data_samples']
        assert 'questions' not in ours
        for key in (
            'question',
            'question_id',
            'gt_answer',
            'gt_answer_weight',
            'img_path',
        ):
            assert ours.get(key) == theirs.get(key)


def test_long_groups_are_split_and_test_sets_have_no_answers(vqa):
    files = vqa()
    del files['ann_file']
    dataset = VQAv2(pipeline=PIPELINE, max_questions=1, **files)
    samples = [dataset[i]['data_samples'].questions for i in range(3)]
    assert [s.question_id for (s,) in samples] == [70, 71, 80]
    assert 'gt_answer' not in samples[0][0]
    with pytest.raises(ValueError, match='max_questions=0'):
        VQAv2(max_questions=0, **files)


def _drop_answer(questions, annotations):
    annotations.pop()


def _drop_question(questions, annotations):
    questions.pop(0)


def _other_image(questions, annotations):
    annotations[0]['image_id'] = 8


def _empty(questions, annotations):
    questions[1]['question'] = ' '


def _twice(questions, annotations):
    questions.append(dict(questions[0]))


def _no_file(questions, annotations):
    questions[0]['image_id'] = annotations[0]['image_id'] = 9


def _two_files(questions, annotations):
    for number in range(2):
        questions[number]['image_id'] = annotations[number]['image_id'] = 9


def _no_image(questions, annotations):
    del questions[1]['image_id']


def _no_answers(questions, annotations):
    del annotations[1]['answers']


def _no_answer(questions, annotations):
    annotations[1]['answers'] = []


def _answered_twice(questions, annotations):
    annotations.append(annotations[2])


@pytest.mark.parametrize(
    'change, error, match',
    [
        (
            _drop_answer,
            ValueError,
            r'1 question ids \(e.g. 71\) of .*questions.json have no answer in',
        ),
        (
            _drop_question,
            ValueError,
            r'1 question ids \(e.g. 70\) of .*annotations.json have no question in',
        ),
        (_other_image, ValueError, 'Question 70 is about image 7 .* and 8 in'),
        (_empty, ValueError, 'Question 80 .* is empty'),
        (_twice, ValueError, 'Question 70 occurs twice'),
        (
            _no_file,
            FileNotFoundError,
            '1 of 3 files .*questions.json are missing: .*/000000000009.jpg',
        ),
        (_two_files, FileNotFoundError, '1 of 2 files'),
        (
            _no_image,
            ValueError,
            "questions.json .*'question_id': 80.* without image_id",
        ),
        (_no_answers, ValueError, 'annotations.json .* without answers'),
        (_no_answer, ValueError, 'Question .* has no answer in .*annotations'),
        (_answered_twice, ValueError, 'answers the question 71 more than once'),
    ],
)
def test_rejects_inconsistent_annotations(vqa, change, error, match):
    with pytest.raises(error, match=match):
        VQAv2(**vqa(change))


NAMED = {
    'complete name': ('beach.png', 'beach.png'),
    'without extension': ('beach', 'beach.png'),
    'in a folder': ('trip/beach', 'trip/beach.png'),
    'in any folder': ('hill', 'trip/hill.png'),
    'number as a name': (7, '7.png'),
    'twelve digits': (8, 'COCO_val2014_000000000008.jpg'),
    'digits in a string': ('8', 'COCO_val2014_000000000008.jpg'),
    'not thirteen digits': (900000000001, '900000000001.png'),
}


@pytest.mark.parametrize('case', list(NAMED))
def test_vqa_v2_finds_images_by_name(tmp_path, case):
    """Other files with the name or the number of an image do not matter."""
    image_id, expected = NAMED[case]
    folder = tmp_path / 'images'
    write_images(folder, ['beach.png', '7.png', 'COCO_val2014_000000000008.jpg'])
    write_images(folder, ['COCO_val2014_000000000008_thumb.jpg'])
    write_images(folder, ['900000000001.png', '9000000000011.png'])
    write_images(folder / 'trip', ['beach.png', 'hill.png'])
    for name in ('beach.txt', '7.json', 'COCO_val2014_000000000008.txt'):
        (folder / name).write_text('a note')
    question = dict(image_id=image_id, question_id='q1', question='Where?')
    path = tmp_path / 'questions.json'
    path.write_text(json.dumps(dict(questions=[question])))
    (sample,) = VQAv2(path.name, data_root=str(tmp_path), data_prefix='images')
    assert sample['img_path'] == str(folder / expected)


def test_vqa_v2_names_several_images_of_an_id(tmp_path):
    write_images(tmp_path / 'a', ['000000000007.jpg', 'hill.jpg'])
    write_images(tmp_path / 'b', ['000000000007.jpg', 'hill.png'])
    for image_id, names in (
        (7, 'a/000000000007.jpg.*b/000000000007.jpg'),
        ('hill', 'a/hill.jpg.*b/hill.png'),
    ):
        question = dict(image_id=image_id, question_id=1, question='Where?')
        path = tmp_path / 'questions.json'
        path.write_text(json.dumps(dict(questions=[question])))
        with pytest.raises(ValueError, match=f'questions.json.*{names}'):
            VQAv2(path.name, data_root=str(tmp_path), data_prefix='.')


PATHS = ('1.jpg', './1.jpg', 'sub/../1.jpg', '{root}/images/1.jpg', '../images/1.jpg')


def test_all_spellings_of_a_path_are_one_image(tmp_path):
    folder = tmp_path / 'images'
    write_images(folder, ['1.jpg'])
    write_images(tmp_path / 'other', ['2.jpg'])
    names = [*PATHS, str(tmp_path / 'other/2.jpg')]
    entries = [
        dict(image=name.format(root=tmp_path), question='Is it?', answer='yes')
        for name in names
    ]
    (tmp_path / 'gqa.json').write_text(json.dumps(entries))
    first, second = GQA('gqa.json', 'images', data_root=str(tmp_path))
    assert first['img_path'] == str(folder / '1.jpg')
    assert len(first['questions']) == len(PATHS)
    assert second['img_path'] == str(tmp_path / 'other/2.jpg')


@pytest.mark.parametrize('name', ['images\\1.jpg', '1.JPG', 'sub', ''])
def test_rejects_names_of_other_files(tmp_path, name):
    write_images(tmp_path / 'images', ['1.jpg'])
    write_images(tmp_path / 'images/sub', ['2.jpg'])
    entries = [dict(image=name, question='Is it?', answer='yes')]
    (tmp_path / 'gqa.json').write_text(json.dumps(entries))
    with pytest.raises(FileNotFoundError, match='1 of 1 files .*gqa.json'):
        GQA('gqa.json', 'images', data_root=str(tmp_path))


@pytest.mark.parametrize(
    'kind',
    ['ConcatDataset', 'mmengine.ConcatDataset', ConcatDataset, 'RepeatDataset'],
    ids=str,
)
def test_questions_of_wrapped_data_sets(vqa, kind):
    init_default_scope('mmpretrain')
    part = dict(type='mmvlfusion.VQAv2', **vqa())
    if kind == 'RepeatDataset':
        wrapped = dict(type=kind, times=4, dataset=part)
    else:
        wrapped = dict(type=kind, datasets=[part])
    found = [question['question_id'] for question in read_questions(wrapped)]
    assert sorted(found) == [70, 71, 80]


@pytest.mark.parametrize('form', ['official', 'lavis'])
def test_gqa_reads_both_formats(tmp_path, form):
    write_images(tmp_path / 'images', ['n1.jpg', '22.jpg'])
    if form == 'official':
        content = {
            '05': dict(
                imageId='n1',
                question='Is it?',
                answer='yes',
                types=dict(structural='verify'),
            ),
            '06': dict(imageId='22', question='Who?', answer='man'),
            '07': dict(imageId='n1', question='Where?', answer='left'),
        }
    else:
        content = [
            dict(image='n1.jpg', question='Is it?', answer='yes', question_id='05'),
            dict(image='22.jpg', question='Who?', answer='man', question_id='06'),
            dict(image='n1.jpg', question='Where?', answer='left', question_id='07'),
        ]
    path = tmp_path / 'gqa.json'
    path.write_text(json.dumps(content))
    files = dict(data_root=str(tmp_path), data_prefix='images', ann_file='gqa.json')
    dataset = GQA(pipeline=PIPELINE, **files)
    assert len(dataset) == 2
    asked = dataset[0]['data_samples'].questions
    answers = {s.question_id: s.gt_answer for s in asked}
    assert answers == {'05': 'yes', '07': 'left'}
    if form == 'official':
        assert asked[0].question_type == 'verify'
        (tmp_path / 'images' / '22.jpg').unlink()
        with pytest.raises(FileNotFoundError, match='1 of 2 files .*22.jpg'):
            GQA(**files)
        path.write_text(json.dumps({'08': dict(question='What?')}))
        with pytest.raises(ValueError, match='What.* without imageId'):
            GQA(**files)
    else:
        ungrouped = GQA(pipeline=PIPELINE, group=False, **files)
        for ours, theirs in zip(ungrouped, build_host_dataset('GQA', **files)):
            for key in ('question', 'gt_answer', 'img_path'):
                assert ours['data_samples'].get(key) == theirs['data_samples'].get(key)


def test_snli_ve_reads_and_checks_labels(tmp_path):
    write_images(tmp_path / 'flickr30k', ['11.jpg'])
    entries = [
        dict(
            gold_label=label,
            Flickr30K_ID='11',
            sentence1='A dog runs.',
            sentence2=f'It is {i}.',
            pairID=f'11.jpg#0r{i}n',
        )
        for i, label in enumerate(['neutral', '-', 'entailment'])
    ]
    path = tmp_path / 'snli_ve_dev.jsonl'

    def write():
        path.write_text('\n'.join(map(json.dumps, entries)) + '\n')
        return SNLIVE(
            data_root=str(tmp_path),
            data_prefix='flickr30k',
            ann_file=path.name,
            pipeline=PIPELINE,
        )

    dataset = write()
    assert len(dataset) == 1
    assert [
        (s.question, s.gt_answer, s.question_id)
        for s in dataset[0]['data_samples'].questions
    ] == [
        ('It is 0.', 'neutral', '11.jpg#0r0n'),
        ('It is 2.', 'entailment', '11.jpg#0r2n'),
    ]
    entries[2]['Flikr30kID'] = entries[2].pop('Flickr30K_ID') + '.jpg'
    assert len(write()[0]['data_samples'].questions) == 2
    entries[0]['gold_label'] = 'maybe'
    with pytest.raises(ValueError, match="11.jpg#0r0n .* 'maybe'"):
        write()
    entries[0].update(gold_label='neutral', Flickr30K_ID='12')
    with pytest.raises(FileNotFoundError, match='12.jpg'):
        write()
    del entries[0]['Flickr30K_ID']
    with pytest.raises(ValueError, match='without Flickr30K_ID'):
        write()


def test_vqa_v2_reads_daquar(real_data):
    """Read the real photographs of DAQUAR in the format of VQA v2."""
    dataset = VQAv2(
        data_root=str(real_data / 'daquar'),
        data_prefix='images',
        question_file='annotations/questions_val.json',
        ann_file='annotations/annotations_val.json',
        pipeline=PIPELINE,
    )
    assert len(dataset) == 326
    assert (
        sum(len(dataset.get_data_info(i)['questions']) for i in range(len(dataset)))
        == 2892
    )
    assert dataset[5]['inputs'].shape[0] == 3
