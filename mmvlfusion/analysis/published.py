"""Published sizes and costs of models, which the metafiles hold."""

import os.path as osp
from typing import Any, Dict, List, NamedTuple, Optional

import mmengine

ROOT = osp.join(osp.dirname(osp.dirname(osp.abspath(__file__))), '.mim')


class PublishedSize(NamedTuple):
    """A published size of a model.

    Attributes:
        name (str): Name of the model in the paper.
        config (str): Path of its config.
        params (float, optional): Parameters in millions.
        cost (float, optional): Operations in billions.
        dense_params (float, optional): Parameters of the dense model in
            millions, for low-rank models.
        convention (str): How the paper counts operations, one of
            ``mmvlfusion.analysis.complexity.CONVENTIONS``.
        side (int): Side of the square input in pixels.
        options (dict): Settings that override those of the config.
    """

    name: str
    config: str
    params: Optional[float] = None
    cost: Optional[float] = None
    dense_params: Optional[float] = None
    convention: str = 'macs'
    side: int = 224
    options: Dict[str, Any] = {}


def load_published_sizes() -> List[PublishedSize]:
    """Read the published sizes from the field ``Published Sizes`` of the models.

    Returns:
        list[PublishedSize]: The sizes, in the order of the metafiles.
    """
    sizes = []
    for metafile in mmengine.load(osp.join(ROOT, 'model-index.yml'))['Import']:
        for model in mmengine.load(osp.join(ROOT, metafile))['Models']:
            for fields in model['Metadata'].get('Published Sizes', []):
                config = osp.join(ROOT, model['Config'])
                sizes.append(PublishedSize(config=config, **fields))
    return sizes
