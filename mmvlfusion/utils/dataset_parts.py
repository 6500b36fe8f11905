"""The data sets within others."""
from typing import Any, Iterator


def parts(dataset: Any) -> Iterator[Any]:
    """The data sets within wrappers, such as a concatenation."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from parts(part)
    elif hasattr(dataset, 'dataset'):
        yield from parts(dataset.dataset)
    elif hasattr(dataset, 'get_data_info'):
        yield dataset
