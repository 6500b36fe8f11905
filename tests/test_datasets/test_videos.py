"""Videos as a few frames, for questions and for retrieval."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmvlfusion.datasets import LoadVideoFrames, VideoQA, VideoTextRetrieval

LOAD = dict(type='mmvlfusion.LoadVideoFrames', num_frames=4, size=(24, 16))


@pytest.fixture
def videos(tmp_path):
    """Two videos of 12 frames, with increasing brightness."""
    folder = tmp_path / 'videos'
    folder.mkdir()
    for name in 'ab':
        writer = cv2.VideoWriter(
            str(folder / f'{name}.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (48, 32)
        )
        for number in range(12):
            writer.write(np.full((32, 48, 3), 20 * number, np.uint8))
        writer.release()
    return tmp_path


def test_frames_are_sampled_evenly(videos):
    results = LoadVideoFrames(4, (24, 16))(dict(img_path=str(videos / 'videos/a.avi')))
    assert results['img'].shape == (4, 3, 16, 24)
    assert results['img'].mean((1, 2, 3)) == pytest.approx([0, 60, 120, 180], abs=4)
    assert results['img_shape'] == (16, 24)
    assert results['ori_shape'] == (32, 48)


def test_video_qa_groups_questions_by_video(videos):
    init_default_scope('mmpretrain')
    entries = [
        dict(video_id='a', question='who?', answer='man'),
        dict(video_id='b', question='what?', answer='dog'),
        dict(video_id='a', question='where?', answer='park'),
    ]
    (videos / 'qa.jsonl').write_text('\n'.join(map(json.dumps, entries)))
    data = VideoQA(
        'qa.jsonl',
        'videos',
        '.avi',
        data_root=str(videos),
        pipeline=[LOAD, dict(type='mmvlfusion.PackQuestions')],
    )
    assert len(data) == 2
    assert data[0]['inputs'].shape == (4, 3, 16, 24)
    asked = data[0]['data_samples'].questions
    assert [(q.question, q.gt_answer, q.question_id) for q in asked] == [
        ('who?', ['man'], 0),
        ('where?', ['park'], 2),
    ]
    assert asked[0].num_annotators == 1


def test_video_text_retrieval_reads_and_checks_files(videos):
    init_default_scope('mmpretrain')
    entries = [dict(clip_name=name, caption=f'video {name}') for name in 'ba']
    (videos / 'test.jsonl').write_text('\n'.join(map(json.dumps, entries)))
    data = VideoTextRetrieval(
        'test.jsonl',
        'videos',
        '.avi',
        data_root=str(videos),
        pipeline=[LOAD, dict(type='PackInputs', algorithm_keys=['text'])],
    )
    data.full_init()
    assert data.img_size == data.text_size == len(data) == 2
    assert data[1]['data_samples'].text == ['video a']
    assert torch.is_tensor(data[1]['inputs'])
    entries.append(dict(clip_name='c', caption='no video'))
    (videos / 'test.jsonl').write_text('\n'.join(map(json.dumps, entries)))
    with pytest.raises(FileNotFoundError, match=r'1 of 3 files.*c\.avi'):
        VideoTextRetrieval('test.jsonl', 'videos', '.avi', data_root=str(videos))
    (videos / 'test.jsonl').write_text('{"clip_name": "a"}')
    with pytest.raises(ValueError, match='without caption'):
        VideoTextRetrieval('test.jsonl', data_root=str(videos))


def test_rejects_bad_videos(tmp_path):
    path = tmp_path / 'broken.avi'
    path.write_bytes(b'no video')
    with pytest.raises(ValueError, match='broken.avi'):
        LoadVideoFrames()(dict(img_path=str(path)))
    with pytest.raises(ValueError, match='missing.avi'):
        LoadVideoFrames()(dict(img_path=str(tmp_path / 'missing.avi')))
    with pytest.raises(ValueError, match='num_frames=0'):
        LoadVideoFrames(0)
