"""Synthetic shapes: contents, and formats that the hosts can read."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmvlfusion.datasets import SNLIVE, VideoQA, VideoTextRetrieval
from mmvlfusion.testing.shapes import (
    DEFAULT_KINDS,
    KINDS,
    LEVELS,
    TASKS,
    Question,
    ask,
    hypothesize,
    render_scene,
    write_dataset,
)
from mmvlfusion.testing.shapes.formats import write_vqa


def digest(root):
    total = hashlib.sha256()
    for path in sorted(root.rglob('*.*')):
        if path.is_file():
            total.update(str(path.relative_to(root)).encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def test_same_seed_writes_identical_files(shapes_root, tmp_path):
    numbers = dict(train=48, val=16)
    write_dataset(tmp_path / 'a', 'easy', numbers, TASKS, 0, workers=2)
    write_dataset(tmp_path / 'b', 'easy', numbers, TASKS, 1, workers=2)
    assert digest(tmp_path / 'a') == digest(shapes_root)
    assert digest(tmp_path / 'b') != digest(shapes_root)


def test_tool_writes_only_missing_or_changed_tasks(tmp_path, run_tool):
    def write(*args):
        run_tool(
            'tools/dataset_converters/shapes.py',
            '--out',
            tmp_path,
            '--num-train',
            8,
            '--num-val',
            8,
            '--tasks',
            *args,
        )
        return {
            path.parts[-1]: path.stat().st_mtime_ns
            for path in (tmp_path / 'easy').iterdir()
            if path.is_dir()
        }

    first = write('vqa')
    both = write('vqa', 'detection')
    assert set(first) == {'vqa'} and set(both) == {'vqa', 'coco'}
    assert both['vqa'] == first['vqa']
    assert write('detection', '--seed', 1)['vqa'] == first['vqa']
    again = write('vqa', 'detection')
    assert again['vqa'] == first['vqa'] and again['coco'] > both['coco']


def test_options_set_image_size_and_counts(tmp_path):
    write_dataset(
        tmp_path,
        'standard',
        dict(train=2, val=1),
        ['vqa'],
        0,
        workers=1,
        scene_size=64,
        num_shapes=(1, 1),
        num_questions=30,
    )
    (image,) = (tmp_path / 'vqa/images/val').iterdir()
    assert cv2.imread(str(image)).shape == (64, 64, 3)
    asked = json.loads((tmp_path / 'vqa/annotations/questions_train.json').read_text())
    assert len(asked['questions']) == 2 * 30
    answered = json.loads(
        (tmp_path / 'vqa/annotations/annotations_train.json').read_text()
    )
    assert {
        entry['multiple_choice_answer']
        for entry in answered['annotations']
        if entry['answer_type'] == 'number'
    } <= {'0', '1'}


def test_attribute_maps_label_the_same_pixels(tmp_path):
    """Kinds, colours and textures have different labels at the same pixels."""
    write_dataset(
        tmp_path,
        'standard',
        dict(train=4, val=1),
        ['segmentation'],
        0,
        workers=1,
        scene_size=64,
        attribute_maps=True,
    )
    seen = []
    for folder, low, high in (
        ('annotations', 2, 9),
        ('annotations_color', 10, 17),
        ('annotations_texture', 18, 21),
    ):
        paths = sorted((tmp_path / 'ade' / folder / 'training').iterdir())
        maps = np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths])
        assert len(np.unique(maps)) > 3
        assert low <= maps[maps > 1].min() and maps.max() <= high
        seen.append(maps > 1)
    assert (seen[0] == seen[1]).all() and (seen[0] == seen[2]).all()


@pytest.mark.parametrize('level', list(LEVELS))
def test_scene_has_visible_shapes(level):
    low, high = LEVELS[level].num_shapes
    counts = Counter()
    for seed in range(40):
        scene = render_scene(np.random.default_rng(seed), LEVELS[level])
        side = LEVELS[level].scene_size
        assert scene.image.shape == (side, side, 3)
        assert scene.image.dtype == np.uint8
        counts[len(scene.shapes)] += 1
        covered = np.zeros((side, side), int)
        for shape in scene.shapes:
            covered += shape.mask
            assert shape.mask.sum() >= 0.6 * (shape.alpha > 127).sum() > 0
        assert covered.max() == 1
    assert set(counts) == set(range(low, high + 1))


def test_classification_is_readable_by_mmpretrain(shapes_root):
    from mmpretrain.datasets import CustomDataset

    dataset = CustomDataset(
        data_root=str(shapes_root / 'classification'), data_prefix='train'
    )
    assert dataset.metainfo['classes'] == tuple(sorted(KINDS))
    assert Counter(dataset.get_gt_labels()) == dict.fromkeys(range(8), 6)


def test_detection_is_readable_by_mmdet(shapes_root):
    from mmdet.datasets import CocoDataset

    root = shapes_root / 'coco'
    dataset = CocoDataset(
        data_root=str(root),
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        metainfo=dict(classes=KINDS),
    )
    assert len(dataset) == 48
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        labels = cv2.imread(
            info['img_path']
            .replace('coco/train2017', 'ade/annotations/training')
            .replace('.jpg', '.png'),
            cv2.IMREAD_UNCHANGED,
        )
        kinds = Counter(i['bbox_label'] for i in info['instances'])
        for instance in info['instances']:
            if kinds[instance['bbox_label']] > 1:
                continue  # Label maps do not separate them.
            x1, y1, x2, y2 = map(int, instance['bbox'])
            inside = labels[y1:y2, x1:x2] == 2 + instance['bbox_label']
            # The box is tight, and the polygons cover the shape.
            assert inside[0].any() and inside[-1].any()
            assert inside[:, 0].any() and inside[:, -1].any()
            mask = np.zeros_like(labels)
            for polygon in instance['mask']:
                points = np.array(polygon, np.int32).reshape(-1, 2)
                cv2.fillPoly(mask, [points], 1)
            assert (mask[y1:y2, x1:x2] >= inside).all()


def test_segmentation_is_readable_by_mmseg(shapes_root):
    from mmseg.datasets import ADE20KDataset

    dataset = ADE20KDataset(
        data_root=str(shapes_root / 'ade'),
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'
        ),
    )
    assert len(dataset) == 48
    info = dataset.get_data_info(0)
    labels = cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED)
    assert labels.shape == (128, 128)
    assert labels.min() == 1 and 2 <= labels.max() <= 1 + len(KINDS)


def test_vqa_is_readable_by_mmpretrain(shapes_root):
    from mmpretrain.datasets import COCOVQA

    root = shapes_root / 'vqa'
    dataset = COCOVQA(
        data_root=str(root),
        data_prefix='images/train',
        question_file='annotations/questions_train.json',
        ann_file='annotations/annotations_train.json',
    )
    assert len(dataset) == 48 * 6
    info = dataset.get_data_info(0)
    assert info['question'].endswith('?') and len(info['gt_answer']) >= 1
    questions = json.loads((root / 'annotations/questions_train.json').read_text())[
        'questions'
    ]
    ids = [question['question_id'] for question in questions]
    assert len(set(ids)) == len(ids)
    texts = defaultdict(list)
    for question in questions:
        texts[question['image_id']].append(question['question'])
    assert all(len(set(asked)) == 6 for asked in texts.values())


def test_rejects_too_many_questions_about_a_scene():
    level = replace(LEVELS['easy'], num_shapes=(1, 1))
    scene = render_scene(np.random.default_rng(0), level)
    assert len(ask(scene, np.random.default_rng(0), 83)) == 83
    with pytest.raises(ValueError, match='Asked for 84 .* found only 83'):
        ask(scene, np.random.default_rng(0), 84)


@pytest.mark.parametrize('count, factor', [(6, 100), (100, 100), (101, 1000)])
def test_question_ids_are_unique(count, factor, tmp_path):
    questions = [Question(f'question {i}?', 'yes', 'yes/no') for i in range(count)]
    records = [dict(image_id=i, questions=questions) for i in (1, 2, 11)]
    write_vqa(tmp_path, 'train', 64, records)
    for name in ('questions', 'annotations'):
        content = json.loads((tmp_path / f'annotations/{name}_train.json').read_text())
        ids = [entry['question_id'] for entry in content[name]]
        assert len(set(ids)) == len(ids) == 3 * count
        assert ids == [i * factor + n for i in (1, 2, 11) for n in range(count)]


@pytest.mark.parametrize('level', list(LEVELS))
def test_questions_cannot_be_guessed(level):
    """Guessing from the text only, learned on other scenes, stays near chance."""
    scenes = [
        render_scene(np.random.default_rng(seed), LEVELS[level]) for seed in range(500)
    ]
    for kinds, number, start, chance in (
        (DEFAULT_KINDS, 6, '', 0.5),
        (('position', 'existence'), 1, 'which', 0.6),
        (('neighbor', 'existence'), 1, 'which', 0.35),
    ):
        asked = [
            question
            for seed, scene in enumerate(scenes)
            for question in ask(scene, np.random.default_rng(seed), number, kinds)
            if question.text.startswith(start)
        ]
        by_text, by_type = defaultdict(Counter), defaultdict(Counter)
        split = len(asked) * 4 // 5
        for question in asked[:split]:
            by_text[question.text][question.answer] += 1
            by_type[question.text[:8]][question.answer] += 1
        hits = []
        for question in asked[split:]:
            seen = by_text[question.text]
            if sum(seen.values()) < 5:
                seen = by_type[question.text[:8]]
            hits.append(seen.most_common(1)[0][0] == question.answer)
        assert np.mean(hits) < chance, kinds


def test_positions_and_neighbors_match_scene():
    seen = Counter()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scene = render_scene(rng, replace(LEVELS['easy'], num_shapes=(3, 3)))
        shapes = {f'{s.color} {s.kind}': s for s in scene.shapes}
        for question in ask(scene, rng, 2, ('position', 'neighbor', 'color')):
            words = question.text.rstrip('?').replace(',', '').split()
            seen[' '.join(words[:2])] += 1
            if words[:2] == ['which', 'half']:
                center = shapes[' '.join(words[4:6])].center
                axis = int('top' in words)
                after = center[axis] > len(scene.image) / 2
                assert question.answer == words[-1 if after else -3]
            elif words[0] == 'which':
                axis = int('above' in words or 'below' in words)
                sign = 1 if {'right', 'below'} & set(words) else -1
                center = shapes[' '.join(words[-2:])].center
                (there,) = [
                    s for s in scene.shapes if sign * (s.center - center)[axis] > 1e-6
                ]
                assert question.answer == (
                    there.color if words[1] == 'color' else there.kind
                )
    assert {'which half', 'which color', 'which shape'} <= set(seen)


def test_answers_match_scene():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scene = render_scene(rng, LEVELS['standard'])
        shapes = {f'{s.color} {s.kind}': s for s in scene.shapes}
        for question in ask(scene, rng, 6):
            words = question.text.rstrip('?').split()
            if question.text.startswith('is there'):
                expected = 'yes' if ' '.join(words[3:5]) in shapes else 'no'
            elif question.text.startswith('is the'):
                first = shapes[' '.join(words[2:4])].center
                second = shapes[' '.join(words[-2:])].center
                true = dict(
                    left=first[0] < second[0],
                    right=first[0] > second[0],
                    above=first[1] < second[1],
                    below=first[1] > second[1],
                )
                expected = 'yes' if true[words[4]] else 'no'
            elif question.text.startswith('how many'):
                expected = str(
                    sum(
                        words[2] in ('objects', s.color)
                        or words[2] in (s.kind + 's', s.kind + 'es')
                        for s in scene.shapes
                    )
                )
            elif question.text.startswith('what color'):
                (expected,) = [s.color for s in scene.shapes if s.kind == words[4]]
            elif question.text.startswith('what shape'):
                (expected,) = [s.kind for s in scene.shapes if s.color == words[4]]
            else:
                expected = shapes[' '.join(words[4:6])].texture
            assert question.answer == expected, question.text


def test_entailment_is_readable_by_snli_ve(shapes_root):
    dataset = SNLIVE(
        'annotations/snli_ve_train.jsonl',
        'images/train',
        data_root=str(shapes_root / 'snli_ve'),
    )
    assert len(dataset) == 48
    labels = Counter(
        question['gt_answer']
        for index in range(48)
        for question in dataset.get_data_info(index)['questions']
    )
    assert sum(labels.values()) == 48 * 6 and set(labels) == set(SNLIVE.LABELS)


@pytest.mark.parametrize('level', list(LEVELS))
def test_entailment_labels_match_scene(level):
    numbers = ('one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight')
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scene = render_scene(rng, LEVELS[level])
        names = {f'{s.color} {s.kind}' for s in scene.shapes}
        for hypothesis in hypothesize(scene, rng, 6):
            words = hypothesis.text.split()
            if words[2] == 'exactly':
                named = words[-1]
                count = sum(
                    named in (s.kind, s.kind + 's', s.kind + 'es') for s in scene.shapes
                )
                true = count == 1 + numbers.index(words[3])
            else:
                true = ' '.join(words[-2:]) in names
            unseen = words[2] != 'exactly' and len(words) > 5
            expected = (
                'contradiction' if not true else 'neutral' if unseen else 'entailment'
            )
            assert hypothesis.label == expected, hypothesis.text


def test_videos_move_and_have_annotations(shapes_root):
    root = shapes_root / 'video'
    where = dict(data_root=str(root), data_prefix='videos/val', suffix='.avi')
    asked = VideoQA('annotations/qa_val.jsonl', **where)
    captioned = VideoTextRetrieval('annotations/captions_val.jsonl', **where)
    assert len(asked) == len(captioned) == 16
    assert len(asked.get_data_info(0)['questions']) == 6
    video = cv2.VideoCapture(captioned.get_data_info(0)['img_path'])
    frames = []
    while (frame := video.read()[1]) is not None:
        frames.append(frame.astype(int))
    assert len(frames) == 8 and frames[0].shape == (128, 128, 3)
    # The picture moves by at most 12 % of its side.
    assert abs(frames[0] - frames[-1]).mean() > 1
    still = cv2.imread(str(shapes_root / 'vqa/images/val' / '000001000001.jpg')).astype(
        int
    )
    shifts = [
        abs(np.roll(frames[4], (y, x), (0, 1)) - still)[20:-20, 20:-20]
        for y in range(-9, 10)
        for x in range(-9, 10)
    ]
    assert min(map(np.mean, shifts)) < 8
