"""Captioned images in tar archives."""

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
    """Images with captions in tar archives in the format of webdataset.

    img2dataset writes such archives of CC3M, CC12M and SBU. They are drawn
    with replacement; each worker of each rank has its own random generator.
    Samples are shuffled in a buffer. An epoch is a fixed number of samples. A
    resumed run continues with other samples than an uninterrupted one.

    The data loader needs ``sampler=None``. A sample has ``img_bytes``, which
    ``mmvlfusion.LoadImage`` decodes, ``img_path``, ``image_id`` and
    ``gt_caption``.

    Args:
        shards (str | Sequence[str]): Files or addresses of the archives.
            Ranges of numbers are written in braces, as in
            ``'cc3m/{00000..00331}.tar'``.
        pipeline (Sequence[dict]): Transforms. Samples for which the pipeline
            returns None are skipped.
        num_samples (int, optional): Number of samples in an epoch, over all
            ranks. Defaults to None, which means no end, for loops that count
            iterations instead of epochs.
        data_root (str): Folder of archives that are files. Defaults to ``''``.
        image_keys (str): Extensions of the images, separated by semicolons. The
            first one that an entry has is used. Defaults to
            ``'jpg;jpeg;png;webp'``.
        caption_key (str): Extension of the captions. Defaults to ``'txt'``.
        prefix (str): Words that are removed from the beginning of captions.
            Defaults to ``''``.
        shuffle (int): Number of samples in the shuffle buffer of a worker. With
            0, each archive is read once and in order. Defaults to 2000.
        seed (int, optional): Seed of the order. It gives every epoch the same
            order. Defaults to None, which draws a new seed each time.

    Raises:
        FileNotFoundError: If archives are missing, with their number and the
            first of their paths.
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
        if isinstance(shards, str):
            shards = [shards]
        # Names with a colon are addresses.
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
        """Get the number of samples in an epoch on a rank.

        Returns:
            int: The number of samples.

        Raises:
            TypeError: If ``num_samples`` is None.
        """
        if self.num_samples is None:
            raise TypeError(
                'ImageTextShards has no length because num_samples is None: set '
                'num_samples to the number of samples in an epoch.'
            )
        return self.num_samples // get_world_size()

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the samples of an epoch.

        The samples of a rank are split over its workers.

        Returns:
            Iterator: Samples after the pipeline.

        Raises:
            ValueError: If an entry has no image or no caption.
        """
        samples = (self.pipeline(self._sample(entry)) for entry in self._stream())
        samples = (sample for sample in samples if sample is not None)
        if self.num_samples is None:
            return samples
        worker = get_worker_info()
        if worker is None:
            return islice(samples, len(self))
        indices_of_worker = range(worker.id, len(self), worker.num_workers)
        return islice(samples, len(indices_of_worker))

    def _stream(self) -> Iterator[Dict[str, Any]]:
        """Build the stream of the archives' entries."""
        wds = self.library
        reader = wds.tarfile_to_samples()
        if not self.shuffle:
            return wds.DataPipeline(
                wds.SimpleShardList(self.shards),
                wds.split_by_node,
                wds.split_by_worker,
                reader,
            )
        # webdataset gives each worker of each rank its own generator.
        has_seed = self.seed is not None
        shards = wds.ResampledShards(
            self.shards, seed=self.seed, deterministic=has_seed
        )
        if has_seed:
            shuffle = wds.detshuffle(self.shuffle, seed=self.seed)
        else:
            shuffle = wds.shuffle(self.shuffle)
        return wds.DataPipeline(shards, reader, shuffle)

    def _sample(self, entry: Dict[str, Any]) -> Dict[str, Any]:
        """Convert an entry of an archive to a sample."""
        name = f'{entry["__url__"]}/{entry["__key__"]}'
        keys = [key for key in self.image_keys.split(';') if key in entry]
        if not keys:
            found = sorted(key for key in entry if not key.startswith('_'))
            raise ValueError(
                f'{name} has none of the images {self.image_keys}, only '
                f'{found}: set image_keys.'
            )
        caption = entry.get(self.caption_key, b'').decode('utf-8', 'replace')
        return dict(
            img_bytes=entry[keys[0]],
            img_path=f'{name}.{keys[0]}',
            image_id=name,
            gt_caption=check_captions(caption, name, self.prefix)[0],
        )
