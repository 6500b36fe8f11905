"""Missing images are reported before training."""

import json
import types

import pytest
from mmengine.registry import DATASETS, init_default_scope

from mmvlfusion.engine import ImageFilesHook


def test_rejects_missing_images(shapes_root, tmp_path):
    init_default_scope('mmpretrain')
    root = shapes_root / 'caption'

    def check(ann_file):
        dataset = DATASETS.build(
            dict(
                type='COCOCaption',
                ann_file=str(ann_file),
                data_root=str(root),
                data_prefix=dict(img_path='images'),
                pipeline=[],
            )
        )
        loader = types.SimpleNamespace(dataset=dataset)
        ImageFilesHook().before_train(
            types.SimpleNamespace(
                train_dataloader=loader, val_dataloader=loader, val_loop=object()
            )
        )

    path = root / 'annotations/karpathy_val.json'
    check(path)
    entries = json.loads(path.read_text())
    for number, entry in enumerate(entries[:3]):
        entry['image'] = f'nowhere/{number}.jpg'
    (tmp_path / 'changed.json').write_text(json.dumps(entries))
    with pytest.raises(
        FileNotFoundError, match=r'3 of .* files of .*changed.json .*0\.jpg'
    ):
        check(tmp_path / 'changed.json')
