"""Published sizes and costs of models, which the metafiles hold."""

import os.path as osp
from typing import Any, Dict, List, NamedTuple, Optional

import mmengine
from mmengine.config import Config

from mmvlfusion.models.multimodal.tokenizers import train_tokenizer

ROOT = osp.join(osp.dirname(osp.dirname(osp.abspath(__file__))), '.mim')


class PublishedSize(NamedTuple):
    """A published size of a model.

    Attributes:
        name (str): Name of the model in the paper.
        config (str): Path of its config.
        params (float, optional): Parameters in millions, with those of EMA
            models.
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


def config_of(size: PublishedSize, folder: str) -> Config:
    """Read the config of a model whose size is published.

    Args:
        size (PublishedSize): The model.
        folder (str): Empty folder for a tokenizer. It replaces the tokenizer of
            the model, whose files may not exist; the config fixes the size of the
            vocabulary.

    Returns:
        Config: The config, with the student as model if there is a teacher.
    """
    cfg = Config.fromfile(size.config)
    cfg.merge_from_dict(size.options)
    cfg.model = cfg.model.get('student', cfg.model)
    if 'tokenizer' in cfg.model:
        train_tokenizer(['what is left of the chair?'], 60, 1).save_pretrained(folder)
        cfg.model.tokenizer = folder
    return cfg
