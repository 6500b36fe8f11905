"""Captioned images of tar archives."""

import os.path as osp
from itertools import islice
from typing import Any, Dict, Iterator, Optional, Sequence, Union

from mmengine.dataset import Compose
from mmengine.dist import get_world_size
from torch.utils.data import IterableDataset, get_worker_info

from mmvlfusion.datasets.utils.captions import check_captions
from mmvlfusion.datasets.utils.files import check_files
from mmvlfusion.registry import DATASETS
from mmvlfusion.utils.checks import require


@DATASETS.register_module()
class ImageTextShards(IterableDataset):
    """Images with captions of tar archives in the format of webdataset, such as
    img2dataset writes of CC3M, CC12M and SBU.

    Archives are drawn with replacement, those of each worker and rank by a
    generator of its own, and samples are shuffled in a buffer; an epoch is a
    number of them, and a resumed run goes on with others. The loader takes
    ``sampler=None``. A sample has ``img_bytes``, which
    ``mmvlfusion.LoadImage`` decodes, ``img_path``, ``image_id`` and
    ``gt_caption``.

    Args:
        shards (str | Sequence[str]): The archives, with braces for numbers, as
            in ``'cc3m/{00000..00331}.tar'``; files or addresses.
        pipeline (Sequence[dict]): Transforms. What they skip by returning None
            is left out.
        num_samples (int, optional): Samples of an epoch, of all ranks together.
            Defaults to None, no end, for loops that count no epochs.
        data_root (str): Folder of archives that are files. Defaults to ``''``.
        image_keys (str): Extensions of the images, the first that an entry has
            is taken. Defaults to ``'jpg;jpeg;png;webp'``.
        caption_key (str): Extension of the captions. Defaults to ``'txt'``.
        prefix (str): Words with which captions may begin, which are removed.
            Defaults to ``''``.
        shuffle (int): Samples in the buffer of a worker, 0 for the order of the
            archives, each read once. Defaults to 2000.
        seed (int, optional): Seed of the order, which is then that of every
            epoch. Defaults to None, a new one each time.

    Raises:
        FileNotFoundError: If archives are missing; all of them are counted, and
            the first are named.
    """

    def __init__(
        self,
        shards: Union[str, Sequence[str]],
        pipeline: Sequence[dict],
        num_samples: Optional[int] = None,
        data_root: str = '',
        image_keys: str = 'jpg;jpeg;png;webp',
        caption_key: str = 'txt',
        prefix: str = '',
        shuffle: int = 2000,
        seed: Optional[int] = None,
    ) -> None:
        super().__init__()
        self.library = require('webdataset')
        shards = [shards] if isinstance(shards, str) else shards
        self.shards = [
            name if ':' in name else osp.join(data_root, name)
            for pattern in shards
            for name in self.library.shardlists.expand_urls(pattern)
        ]
        check_files([name for name in self.shards if ':' not in name], 'the shards')
        self.num_samples = num_samples
        self.pipeline = Compose(pipeline)
        self.image_keys = image_keys
        self.caption_key = caption_key
        self.prefix = prefix
        self.shuffle = shuffle
        self.seed = seed
        self.metainfo: Dict[str, Any] = {}

    def __len__(self) -> int:
        """Samples of an epoch on a rank.

        Raises:
            TypeError: If epochs have no end.
        """
        if self.num_samples is None:
            raise TypeError(
                'Shards without end have no length: set '
                'num_samples to the samples of an epoch.'
            )
        return self.num_samples // get_world_size()

    def __iter__(self) -> Iterator[Any]:
        """Samples that went through the pipeline; those of an epoch are shared
        out over the workers.

        Raises:
            ValueError: If an entry has no image or caption.
        """
        samples = (self.pipeline(self._sample(e)) for e in self._stream())
        samples = (sample for sample in samples if sample is not None)
        if self.num_samples is None:
            return samples
        worker = get_worker_info()
        place, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        return islice(samples, len(range(place, len(self), workers)))

    def _stream(self) -> Iterator[Dict[str, Any]]:
        """The entries of the archives."""
        parts = self.library
        read = parts.tarfile_to_samples()
        if not self.shuffle:
            return parts.DataPipeline(
                parts.SimpleShardList(self.shards),
                parts.split_by_node,
                parts.split_by_worker,
                read,
            )
        # Each worker of each rank draws by its own number.
        fixed = self.seed is not None
        shards = parts.ResampledShards(self.shards, seed=self.seed, deterministic=fixed)
        mix = (
            parts.detshuffle(self.shuffle, seed=self.seed)
            if fixed
            else parts.shuffle(self.shuffle)
        )
        return parts.DataPipeline(shards, read, mix)

    def _sample(self, entry: Dict[str, Any]) -> Dict[str, Any]:
        name = f'{entry["__url__"]}/{entry["__key__"]}'
        keys = [key for key in self.image_keys.split(';') if key in entry]
        if not keys:
            raise ValueError(
                f'{name} has none of the images {self.image_keys}, only '
                f'{sorted(k for k in entry if k[0] != "_")}: set image_keys.'
            )
        caption = entry.get(self.caption_key, b'').decode('utf-8', 'replace')
        return dict(
            img_bytes=entry[keys[0]],
            img_path=f'{name}.{keys[0]}',
            image_id=name,
            gt_caption=check_captions(caption, name, self.prefix)[0],
        )
