"""Captioned images in tar archives."""

from itertools import islice
from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Tuple, Union

from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from torch.utils.data import IterableDataset, get_worker_info

from mmvlfusion.datasets.utils.archive_entries import (
    CaptionedEntries,
    Entry,
    expand_shards,
    is_address,
)
from mmvlfusion.datasets.utils.files import check_files
from mmvlfusion.datasets.utils.skipping import SkipCounter
from mmvlfusion.registry import DATASETS
from mmvlfusion.utils.checks import require

# Number of archives or entries in a row that on_error='skip' skips at most.
MAX_SKIPPED = 20
# Number of samples in a row for which the pipeline may return None.
MAX_REFUSED = 1000


@DATASETS.register_module()
class ImageTextShards(IterableDataset):
    """Images with captions in tar archives in the format of webdataset.

    img2dataset writes such archives of CC3M, CC12M and SBU. They are drawn
    with replacement; each worker of each rank has its own random generator.
    Samples are shuffled in a buffer. An epoch is a fixed number of samples. A
    resumed run continues with other samples than an uninterrupted one; see
    ``IndexedImageTextShards`` for exact epochs and exact resumption.

    The extension of a file begins at the first dot of its name, as in
    webdataset. Names may contain dots if the name up to the first dot has no
    image and no caption.

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
            0, each archive is read once and in order; all workers read all
            archives, and decode different samples. Defaults to 2000.
        seed (int, optional): Seed of the order. It gives every epoch the same
            order. Defaults to None, which draws a new seed each time.
        on_error (str): ``'raise'`` stops at an archive that is truncated or not
            a tar archive, and at an entry without an image or a caption.
            ``'skip'`` logs it with the running count and goes on, up to
            20 of them in a row. Defaults to ``'raise'``.

    Raises:
        FileNotFoundError: If archives are missing, with their number and the
            first of their paths.
        ValueError: If ``on_error`` is neither of the two.
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
        on_error: str = 'raise',
    ) -> None:
        super().__init__()
        self.shards = expand_shards(shards, data_root)
        check_files(
            [name for name in self.shards if not is_address(name)], 'the shards'
        )
        self.num_samples = num_samples
        self.pipeline = Compose(pipeline)
        self.entries = CaptionedEntries(image_keys, caption_key, prefix)
        self.shuffle = shuffle
        self.seed = seed
        self.skipped = SkipCounter('archives or entries', on_error, MAX_SKIPPED)
        # Spawned workers do not know the process group.
        self.rank, self.world_size = get_dist_info()
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
        return self.num_samples // self.world_size

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the samples of an epoch.

        The samples of a rank are split over its workers.

        Returns:
            Iterator: Samples after the pipeline.

        Raises:
            ValueError: If an archive cannot be read, or an entry has no image or
                no caption, and ``on_error`` is ``'raise'``; or if too many in a
                row are skipped.
        """
        info = get_worker_info()
        worker, num_workers = (0, 1) if info is None else (info.id, info.num_workers)
        samples = self._samples(self._stream(worker, num_workers))
        if self.num_samples is None:
            return samples
        return islice(samples, len(range(worker, len(self), num_workers)))

    def _stream(self, worker: int, num_workers: int) -> Iterable[Tuple[str, Entry]]:
        """Build the stream of archives and their entries for a worker."""
        if not self.shuffle:
            # Split by entry: archives may have different numbers of entries.
            return islice(
                self._read(dict(url=name) for name in self.shards),
                self.rank + self.world_size * worker,
                None,
                self.world_size * num_workers,
            )
        wds = require('webdataset')
        # webdataset gives each worker of each rank its own generator.
        has_seed = self.seed is not None
        shards = wds.ResampledShards(
            self.shards, seed=self.seed, deterministic=has_seed
        )
        if has_seed:
            shuffle = wds.detshuffle(self.shuffle, seed=self.seed)
        else:
            shuffle = wds.shuffle(self.shuffle)
        return wds.DataPipeline(shards, self._read, shuffle)

    def _read(self, shards: Iterable[Dict[str, Any]]) -> Iterator[Tuple[str, Entry]]:
        """Iterate over the entries of archives."""
        empty = 0
        for shard in shards:
            empty += 1
            for entry in self.entries.group(self._files(shard)):
                empty = 0
                yield shard['url'], entry
            # Archives are drawn with replacement, so that all are drawn before.
            if empty == MAX_SKIPPED * len(self.shards):
                raise ValueError(
                    f'The archives have no entries, such as {shard["url"]}: '
                    'correct shards.'
                )

    def _files(self, shard: Dict[str, Any]) -> Iterator[Tuple[str, bytes]]:
        """Iterate over the names and contents of an archive's files."""
        wds = require('webdataset')
        try:
            streams = wds.tariterators.url_opener([dict(shard)])
            for file in wds.tariterators.tar_file_expander(streams, eof_value=None):
                yield file['fname'], file['data']
        # The error depends on the source and on the compression.
        except Exception as error:
            reason = error.args[0] if error.args else type(error).__name__
            self.skipped.reject(
                f'{shard["url"]} is not a complete tar archive ({reason}): download '
                'it again, or remove it from shards.'
            )

    def _samples(self, stream: Iterable[Tuple[str, Entry]]) -> Iterator[Any]:
        """Decode the entries and apply the pipeline."""
        refused = 0
        for archive, entry in stream:
            try:
                extension = self.entries.image_extension(entry, archive)
                caption = entry.files[self.entries.caption_key]
                sample = self.entries.sample(
                    archive,
                    entry.key,
                    extension,
                    entry.files[extension],
                    self.entries.decode_caption(caption),
                )
            except ValueError as error:
                self.skipped.reject(str(error))
                continue
            self.skipped.reset()
            sample = self.pipeline(sample)
            if sample is not None:
                refused = 0
                yield sample
                continue
            refused += 1
            if refused == MAX_REFUSED:
                raise ValueError(
                    f'The pipeline returned None for {refused} samples in a row, the '
                    f'last of which is {archive}/{entry.key}: correct the pipeline '
                    'or the archives.'
                )
