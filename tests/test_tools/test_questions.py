"""Question answering from end to end: tokenizer, training, testing and demo."""

import json
from collections import Counter
from pathlib import Path

import mmcv
import mmengine
import numpy as np
import pytest
from mmengine.config import Config

from ..helpers import ROOT, foreground_fraction, load_tool

CONFIG = ROOT / 'configs/jar/jar-mini_tnt-micro-p8_1xb16-4e_shapes-64px.py'


@pytest.fixture
def vqa_config(shapes_root, tokenizer_dir, tmp_path):
    """Write a JAR config for the tiny data, with overrides, and return its path."""

    def write(overrides=None):
        cfg = Config.fromfile(CONFIG)
        root = str(shapes_root / 'vqa')
        cfg.merge_from_dict(
            {
                'model.tokenizer': str(tokenizer_dir),
                'model.backbone.init_cfg': None,
                'train_dataloader.batch_size': 8,
                'val_dataloader.batch_size': 4,
                'train_cfg.max_epochs': 2,
                'default_hooks.logger.interval': 2,
                **{
                    f'{name}_dataloader.dataset.data_root': root
                    for name in ('train', 'val', 'test')
                },
                **(overrides or {}),
            }
        )
        path = tmp_path / 'vqa.py'
        cfg.dump(path)
        return path

    return write


def test_train_test_draw_and_demo(vqa_config, run_tool, shapes_root, tmp_path):
    config, work = vqa_config(), tmp_path / 'work'
    run_tool('tools/train.py', config, '--work-dir', work)
    checkpoint = work / 'epoch_2.pth'
    answers = tmp_path / 'answers.pkl'
    drawn = tmp_path / 'drawn'
    output = run_tool(
        'tools/test.py',
        config,
        checkpoint,
        '--work-dir',
        work,
        '--out',
        answers,
        '--show-dir',
        drawn,
        '--interval',
        10,
    )
    assert len(list(drawn.iterdir())) == 10  # Of 96 questions.
    assert 'VQA/acc_what color' in output
    # All questions of the 16 images, not as many as there are images.
    results = mmengine.load(answers)
    assert len(results) == len({r['question_id'] for r in results}) == 96
    sheet = tmp_path / 'sheet.png'
    run_tool(
        'tools/visualizations/contact_sheet.py',
        config,
        answers,
        '--out',
        sheet,
        '--rows',
        2,
        '--columns',
        2,
    )
    assert foreground_fraction(sheet) > 0.05

    image = sorted((shapes_root / 'vqa/images/val').iterdir())[0]
    picture = tmp_path / 'demo' / 'vqa.png'
    output = run_tool(
        'tools/vqa_demo.py',
        image,
        'how many objects are there?',
        'is there a red star?',
        '--config',
        config,
        '--checkpoint',
        checkpoint,
        '--out',
        picture,
        '--overlay',
    )
    assert 'how many objects are there? ' in output
    assert foreground_fraction(picture) > 0.05
    output = run_tool(
        'tools/vqa_demo.py',
        image,
        ' ',
        '--config',
        config,
        '--checkpoint',
        checkpoint,
        status=1,
    )
    assert 'a question is empty' in output


def test_build_tokenizer_and_answers(vqa_config, run_tool, shapes_root, tmp_path):
    config = vqa_config({'model.tokenizer': str(tmp_path / 'words')})
    captions = 'configs/mplug/mplug-mini_tnt-micro-p8_caption_1xb64-2e_shapes-64px.py'
    other = Config.fromfile(ROOT / captions)
    other.train_dataloader.dataset.data_root = str(shapes_root / 'caption')
    other.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[other.train_dataloader.dataset]
    )
    other.dump(tmp_path / 'caption.py')
    output = run_tool(
        'tools/dataset_converters/build_tokenizer.py',
        config,
        tmp_path / 'caption.py',
        '--unused',
        3,
    )
    assert f'to {tmp_path / "words"}' in output
    output = run_tool('tools/dataset_converters/build_tokenizer.py', config)
    assert 'has a tokenizer already' in output
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / 'words')
    assert {'[unused0]', '[unused2]', 'picture'} <= set(tokenizer.vocab)
    ids = tokenizer('How many squares are there?')['input_ids']
    assert tokenizer.unk_token_id not in ids
    assert (
        tokenizer.decode(ids, skip_special_tokens=True) == 'how many squares are there?'
    )

    path = tmp_path / 'answers.json'
    script = 'tools/dataset_converters/build_answers.py'
    run_tool(script, config, path, '--min-count', 2)
    answers = mmengine.load(path)
    assert {'yes', 'no', '1'} <= set(answers) and len(answers) < 30
    output = run_tool(script, config, path, '--min-count', 999, status=1)
    assert 'lower --min-count' in output


def test_list_of_answers_has_the_spellings_of_the_data(tmp_path):
    """Answers are counted after the normalisation, but written as in the data."""
    given = ['Yes', 'Yes', 'yes', 'T-shirt', 't shirt', 'T-shirt', 'two', '2', '2']
    pairs = [dict(image_id=1, question_id=i) for i in range(len(given))]
    questions = [dict(pair, question='what?') for pair in pairs]
    annotations = [
        dict(pair, answers=[dict(answer=answer)]) for pair, answer in zip(pairs, given)
    ]
    mmengine.dump(dict(questions=questions), tmp_path / 'questions.json')
    mmengine.dump(dict(annotations=annotations), tmp_path / 'annotations.json')
    mmcv.imwrite(np.zeros((8, 8, 3), np.uint8), str(tmp_path / '000000000001.jpg'))
    dataset = dict(
        type='mmvlfusion.VQAv2',
        data_root=str(tmp_path),
        question_file='questions.json',
        ann_file='annotations.json',
    )
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    tool = load_tool('dataset_converters/build_answers.py')
    assert tool.frequent_answers(cfg, 3) == ['Yes', 'T-shirt', '2']


def test_answer_prior_matches_annotations(vqa_config, run_tool, tmp_path):
    """Compare with the score of the most frequent answer in the files."""
    config = vqa_config()
    out = tmp_path / 'prior.json'
    run_tool('tools/analysis_tools/answer_prior.py', config, '--out', out)
    root = Path(Config.fromfile(config).train_dataloader.dataset.data_root)
    answers = {
        split: [
            a['multiple_choice_answer']
            for a in json.loads(
                (root / f'annotations/annotations_{split}.json').read_text()
            )['annotations']
        ]
        for split in ('train', 'val')
    }
    best = Counter(answers['train']).most_common(1)[0][0]
    expected = 100 * answers['val'].count(best) / len(answers['val'])
    scores = mmengine.load(out)
    assert scores['VQA/acc'] == pytest.approx(expected)
    run_tool(
        'tools/analysis_tools/answer_prior.py',
        config,
        '--by',
        'question_type',
        '--out',
        out,
    )
    assert mmengine.load(out)['VQA/acc'] > expected


def test_host_inferencer_accepts_files_and_arrays(vqa_config, shapes_root):
    """Ask one question per image, with one or several images per batch."""
    from mmpretrain import VisualQuestionAnsweringInferencer

    inferencer = VisualQuestionAnsweringInferencer(str(vqa_config()), pretrained=None)
    images = [str(p) for p in sorted((shapes_root / 'vqa/images/val').iterdir())[:2]]
    question = 'what color is the star?'
    (result,) = inferencer(images[0], question)
    assert result['question'] == question
    assert isinstance(result['pred_answer'], str)
    both = inferencer(images, [question, 'is there a heart?'], batch_size=2)
    assert both[0] == result
    array = mmcv.imread(images[0])
    assert inferencer(array, question)[0] == result
