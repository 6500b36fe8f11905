"""Captioned images in tar archives that have an index."""

import os
from typing import Any, BinaryIO, Dict, List, Optional, Sequence, Union

from mmengine.dataset import BaseDataset

from mmvlfusion.datasets.utils.archive_entries import (
    CaptionedEntries,
    expand_shards,
    is_address,
)
from mmvlfusion.datasets.utils.archive_index import REMEDY, index_path, read_index
from mmvlfusion.datasets.utils.files import check_files
from mmvlfusion.datasets.utils.skipping import SkipCounter
from mmvlfusion.registry import DATASETS

from .image_text_shards import MAX_SKIPPED

# Number of archives that a process keeps open.
MAX_OPEN = 64


@DATASETS.register_module()
class IndexedImageTextShards(BaseDataset):
    """Images with captions in tar archives, read by position.

    The archives have the format of ``ImageTextShards``, are files, and are not
    compressed. ``tools/dataset_converters/index_shards.py`` writes their
    indices once. With the indices this is a map-style data set: an epoch has
    each sample once, any sampler can be used, and a training with
    ``ExactResumeHook`` goes on with the samples that an uninterrupted one would
    use. ``ShardLocalSampler`` reads a few archives at a time.

    A sample has the fields that ``ImageTextShards`` gives it.

    Args:
        shards (str | Sequence[str]): Files of the archives. Ranges of numbers
            are written in braces, as in ``'cc3m/{00000..00331}.tar'``.
        data_root (str): Folder of the archives. Defaults to ``''``.
        image_keys (str): Extensions of the images, separated by semicolons. The
            first one that an entry has is used. Defaults to
            ``'jpg;jpeg;png;webp'``.
        caption_key (str): Extension of the captions. Defaults to ``'txt'``.
        prefix (str): Words that are removed from the beginning of captions.
            Defaults to ``''``.
        on_error (str): ``'raise'`` stops at an archive that is truncated or not
            a tar archive, and at an entry without an image or a caption.
            ``'skip'`` logs it with the running count and goes on, up to 20 of
            them in a row: such entries are not in the data set, and an empty
            caption is replaced by another sample. Defaults to ``'raise'``.
        **kwargs: Arguments of ``mmengine.dataset.BaseDataset``.

    Raises:
        FileNotFoundError: If archives or indices are missing, with their number
            and the first of their paths.
        ValueError: If an index does not fit its archive, there are no entries,
            or as ``on_error`` says.
    """

    def __init__(
        self,
        shards: Union[str, Sequence[str]],
        data_root: str = '',
        image_keys: str = 'jpg;jpeg;png;webp',
        caption_key: str = 'txt',
        prefix: str = '',
        on_error: str = 'raise',
        **kwargs,
    ) -> None:
        self.shards = expand_shards(shards, data_root)
        self.entries = CaptionedEntries(image_keys, caption_key, prefix)
        self.skipped = SkipCounter('archives or entries', on_error, MAX_SKIPPED)
        self._open: Dict[str, BinaryIO] = {}
        # Number of samples in each archive.
        self.shard_sizes: List[int] = []
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> List[Dict[str, Any]]:
        """See ``BaseDataset.load_data_list``."""
        addresses = [name for name in self.shards if is_address(name)]
        if addresses:
            raise ValueError(
                f'The archive {addresses[0]} is an address, which cannot be read by '
                'position: download it, or use ImageTextShards.'
            )
        check_files(self.shards, 'the shards')
        check_files(
            [index_path(name) for name in self.shards],
            'the indices of the shards',
            'tools/dataset_converters/index_shards.py writes the indices.',
        )
        samples: List[Dict[str, Any]] = []
        for archive in self.shards:
            before = len(samples)
            samples += self._load_archive(archive)
            self.shard_sizes.append(len(samples) - before)
        if not samples:
            raise ValueError(
                f'The archives have no entries, such as {self.shards[0]}: correct '
                'shards.'
            )
        return samples

    def _load_archive(self, archive: str) -> List[Dict[str, Any]]:
        """List the entries of an archive."""
        index = read_index(archive)
        if index['error'] is not None:
            self.skipped.reject(
                f'{archive} is not a complete tar archive ({index["error"]}): '
                'download it again and index it, or remove it from shards.'
            )
        samples = []
        files = ((name, (offset, size)) for name, offset, size in index['files'])
        for entry in self.entries.group(files):
            try:
                extension = self.entries.image_extension(entry, archive)
            except ValueError as error:
                self.skipped.reject(str(error))
                continue
            self.skipped.reset()
            samples.append(
                dict(
                    archive=archive,
                    key=entry.key,
                    extension=extension,
                    image=entry.files[extension],
                    caption=entry.files[self.entries.caption_key],
                )
            )
        return samples

    def get_data_info(self, idx: int) -> Dict[str, Any]:
        """Get the position of an image, and its caption.

        Args:
            idx (int): Index of the sample.

        Returns:
            dict: ``archive``, ``key``, ``extension``, ``image`` (offset and size
            in bytes) and ``gt_caption``.
        """
        info = super().get_data_info(idx)
        caption = self._read(info['archive'], *info.pop('caption'))
        info['gt_caption'] = self.entries.decode_caption(caption)
        return info

    def prepare_data(self, idx: int) -> Optional[Any]:
        """Read a sample and apply the pipeline.

        Args:
            idx (int): Index of the sample.

        Returns:
            Any: The sample, or None if it is skipped.

        Raises:
            ValueError: If the caption has no words and ``on_error`` is
                ``'raise'``, or too many samples in a row are skipped.
        """
        info = self.get_data_info(idx)
        try:
            sample = self.entries.sample(
                info['archive'],
                info['key'],
                info['extension'],
                self._read(info['archive'], *info['image']),
                info['gt_caption'],
            )
        except ValueError as error:
            self.skipped.reject(str(error))
            return None
        self.skipped.reset()
        return self.pipeline(sample)

    def _read(self, archive: str, offset: int, size: int) -> bytes:
        """Read a part of an archive."""
        if archive not in self._open:
            if len(self._open) == MAX_OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[archive] = open(archive, 'rb')  # noqa: SIM115
        # pread has no position, which forked processes would share.
        content = os.pread(self._open[archive].fileno(), size, offset)
        if len(content) < size:
            raise OSError(f'{archive} is shorter than its index says: {REMEDY}')
        return content

    def __getstate__(self) -> Dict[str, Any]:
        """Get what is copied or sent to a spawned worker: no open files."""
        return {**self.__dict__, '_open': {}}
