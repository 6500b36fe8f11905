"""tools/visualizations/tnt.py records what the backbone computes."""

import numpy as np
import pytest
import torch

from ..helpers import ROOT, TINY_ARCH, foreground_fraction, load_tool

tool = load_tool('visualizations/tnt.py')
CONFIGS = dict(
    mmpretrain='tnt-mini-p8_1xb32-10e_shapes-32px.py',
    mmdet='detr_tnt-mini-p8_1xb8-1k_shapes8-128px.py',
    mmseg='trans2seg_tnt-mini-p8_1xb8-2.6k_shapes-128px.py',
)


@pytest.mark.parametrize('host', CONFIGS)
def test_figures_are_drawn(host, shapes_root, run_tool, tmp_path):
    image = next((shapes_root / 'coco/val2017').iterdir())
    options = ['--img-size', 40, 52, '--blocks', 0, 3] if host == 'mmpretrain' else []
    output = run_tool(
        'tools/visualizations/tnt.py',
        image,
        f'configs/tnt/{CONFIGS[host]}',
        '--out-dir',
        tmp_path,
        *options,
    )
    assert str(tmp_path) in output
    assert {path.stem for path in tmp_path.glob('*.png')} == {
        'features',
        'tsne',
        'words',
        'inner_attention',
        'outer_attention',
    }
    assert all(foreground_fraction(p) > 0.05 for p in tmp_path.glob('*.png'))


class Model(torch.nn.Module):
    """A backbone with the preprocessor of a host."""

    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = tool.TNT(
            TINY_ARCH, img_size=32, patch_size=8, out_type='raw', **kwargs
        )
        self.seen = None

    def data_preprocessor(self, data, training):
        self.seen = torch.stack(data['inputs']).float() / 255
        return dict(inputs=self.seen)


def test_record_matches_backbone():
    torch.manual_seed(0)
    model = Model(inner_blocks=(0, 2), final_norm=False)
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    tnt = tool.find_tnt(model)
    record, grid = tool.look(model, tnt, image, [0, 1, 2])
    assert grid == (4, 7)
    with torch.no_grad():
        out = tnt(model.seen)[0]
    assert torch.equal(record.sentences[2], out[0])
    assert record.words[1].shape == (28, 16, 6)
    assert sorted(record.inner) == [0, 2]
    assert record.inner[2].shape == (28, 2, 16, 16)
    assert record.outer[1].shape == (3, 29, 29)
    torch.testing.assert_close(record.outer[1].sum(-1), torch.ones(3, 29))
    # All hooks are removed from the model.
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize(
    'options, message',
    [
        (['--blocks', 4], '--blocks has 4, but must be within 0 ... 3.'),
        (['--patch', 9, 0], '--patch has 9, but must be within 0 ... 3.'),
        (['--word', 0, 4], '--word has 4, but must be within 0 ... 3.'),
    ],
)
def test_rejects_bad_indices(options, message, shapes_root, run_tool):
    image = next((shapes_root / 'coco/val2017').iterdir())
    output = run_tool(
        'tools/visualizations/tnt.py',
        image,
        f'configs/tnt/{CONFIGS["mmpretrain"]}',
        *options,
        status=1,
    )
    assert message in output


def test_rejects_model_without_tnt(shapes_root, run_tool):
    image = next((shapes_root / 'coco/val2017').iterdir())
    output = run_tool(
        'tools/visualizations/tnt.py',
        image,
        'configs/tnt/vit-mini-p8_1xb32-50e_cifar10-32px.py',
        status=1,
    )
    assert 'The ImageClassifier of this config has no mmvlfusion.TNT' in output


def test_contact_sheet_rejects_missing_label_maps(run_tool, tmp_path, shapes_root):
    from mmengine.config import Config

    cfg = Config.fromfile(ROOT / 'configs/tnt' / CONFIGS['mmseg'])
    cfg.test_dataloader.dataset.data_root = str(shapes_root / 'ade')
    cfg.dump(tmp_path / 'config.py')
    output = run_tool(
        'tools/visualizations/contact_sheet.py',
        tmp_path / 'config.py',
        tmp_path,
        status=1,
    )
    assert 'is missing: write the label maps with tools/test.py' in output
