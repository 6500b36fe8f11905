"""Labels in the label maps of a data set of mmseg."""

from typing import Any, Callable, Set

import numpy as np

# mmseg's loader gives this label to ignored pixels, and reads labels of 16 bits
# modulo 256.
IGNORED = 255
IGNORED_16_BITS = 65535


class LabelMaps:
    """The labels that the label maps of a data set have.

    Args:
        where (str): The data set, for errors.
        dataset (Any): A data set of mmseg with class names.
        read (Callable): Reads the label map of the sample at an index.
    """

    def __init__(
        self, where: str, dataset: Any, read: Callable[[int], np.ndarray]
    ) -> None:
        self.where = where
        self.dataset = dataset
        self.read = read
        # Labels as the files have them, without that of ignored pixels.
        self.labels: Set[int] = set()
        self.has_ignored = False
        classes = dataset.metainfo['classes']
        if getattr(dataset, 'label_map', None):
            # A subset of the classes is used, but the files have labels of all.
            classes = dataset.METAINFO['classes']
        self.classes = classes
        self.last = len(classes) - (not dataset.reduce_zero_label)

    def add(self, path: str, labels: np.ndarray) -> None:
        """Add the labels of a map.

        Args:
            path (str): Its file, for errors.
            labels (numpy.ndarray): The map, (H, W).

        Raises:
            ValueError: If a label has no class.
        """
        found = set(np.unique(labels).tolist())
        ignored = {self.dataset.ignore_index}
        if self.dataset.ignore_index == IGNORED:
            ignored.add(IGNORED_16_BITS)
        self.has_ignored |= bool(found & ignored)
        found -= ignored
        if found and max(found) > self.last:
            raise ValueError(
                f'{self.where} has the label {max(found)} in {path}, but the last '
                f'label of its {len(self.classes)} classes is {self.last}: check '
                'metainfo.classes and reduce_zero_label.'
            )
        self.labels |= found

    @property
    def is_zero_ignored(self) -> bool:
        """bool: Whether there are pixels of label 0, which are ignored."""
        return bool(self.dataset.reduce_zero_label) and 0 in self.labels

    def has_one_class(self) -> bool:
        """Check whether all pixels have one class or are ignored.

        Maps that have one class and no ignored pixels may be crops.

        Returns:
            bool: True if there are ignored pixels and at most one class.
        """
        trained = self.labels - {0} if self.is_zero_ignored else self.labels
        return (self.has_ignored or self.is_zero_ignored) and len(trained) < 2

    def check_classes(self) -> None:
        """Check that several classes remain without the ignored pixels.

        If the maps added so far have one class, the others are read too.

        Raises:
            ValueError: If all maps of the data set have at most one class.
        """
        if len(self.classes) < 2 or self.dataset.label_map or len(self.dataset) < 2:
            return
        for index in range(len(self.dataset)):
            if not self.has_one_class():
                return
            path = self.dataset.get_data_info(index)['seg_map_path']
            self.add(path, self.read(index))
        if not self.has_one_class():
            return
        values = sorted(self.labels | ({IGNORED} if self.has_ignored else set()))
        ignored = [0] if self.is_zero_ignored else []
        ignored += [IGNORED] if self.has_ignored else []
        advice = 'store the labels of the classes as 0, 1, ... and not as 0 and 255'
        if self.is_zero_ignored:
            advice = 'set reduce_zero_label=False if 0 is a class'
        raise ValueError(
            f'{self.where} has only the labels {values} in its label maps, of which '
            f'{ignored} are ignored, so that at most one of its {len(self.classes)} '
            f'classes remains and any model is rated as perfect: {advice}.'
        )

    def zero_warning(self) -> str:
        """Describe label 0 if it is probably a class that is ignored.

        Returns:
            str: The warning, or an empty string. Where 0 is a class, the labels
            end one below the last one that ``reduce_zero_label`` expects.
        """
        if not self.is_zero_ignored or max(self.labels) != self.last - 1:
            return ''
        names = self.classes
        return (
            f'{self.where} ignores the label 0 and names 1 {names[0]!r} '
            f'(reduce_zero_label=True); the label {self.last} ({names[-1]!r}) is in '
            f'none of the label maps that were checked. If 0 is {names[0]!r} in '
            'your files, set reduce_zero_label=False.'
        )
