"""Wrappers of data sets."""

from typing import Any, Iterator


def iter_datasets(dataset: Any) -> Iterator[Any]:
    """Iterate over the data sets inside wrappers.

    Args:
        dataset (Any): A data set, or a wrapper such as a concatenation.

    Yields:
        Any: Each data set with ``get_data_info``.
    """
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from iter_datasets(part)
    elif hasattr(dataset, 'dataset'):
        yield from iter_datasets(dataset.dataset)
    elif hasattr(dataset, 'get_data_info'):
        yield dataset
