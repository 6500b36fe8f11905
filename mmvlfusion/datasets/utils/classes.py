"""Names of the classes of data sets."""

from collections import Counter
from typing import Any, List, Optional, Sequence

# How many names an error lists.
NAMED = 5


def class_names(dataset: Any) -> Optional[Sequence[str]]:
    """Get the names of the classes of a data set.

    Args:
        dataset (Any): A data set of a host, or a wrapper.

    Returns:
        Sequence[str] | None: The names, or None if the data set has none.

    Raises:
        ValueError: If they are one string, of which each letter would be a
            class.
    """
    names = getattr(dataset, 'metainfo', {}).get('classes')
    if isinstance(names, str):
        raise ValueError(
            f'metainfo.classes is the string {names!r}, expected a sequence of '
            f'names: write ({names!r}, ) for one class. If it is a file of names, '
            'the file does not exist.'
        )
    return names


def class_folders(dataset: Any) -> Optional[List[str]]:
    """Get the folders whose order defines the labels of a data set.

    Args:
        dataset (Any): A data set.

    Returns:
        list[str] | None: The names of mmpretrain's class folders in the order
        of the labels, or None if labels have another source.
    """
    folders = getattr(dataset, 'folder_to_idx', None)
    return None if folders is None else sorted(folders, key=folders.get)


def folder_advice(dataset: Any) -> str:
    """Name the class folders of a data set that may not be classes.

    Args:
        dataset (Any): A data set.

    Returns:
        str: A sentence for an error; empty if there are no such folders.
    """
    folders = class_folders(dataset) or []
    hidden = [name for name in folders if name.startswith('.')]
    used = set(dataset.get_gt_labels().tolist()) if folders else set()
    empty = [
        name
        for label, name in enumerate(folders)
        if label not in used and name not in hidden
    ]
    reasons = (('begin with a dot', hidden), ('have no images', empty))
    found = [f'{", ".join(names)} ({reason})' for reason, names in reasons if names]
    if not found:
        return ''
    return (
        f' Its class folders in {dataset.img_prefix} include {" and ".join(found)}: '
        'remove those that are not classes.'
    )


def misplaced(names: Sequence[str], others: Sequence[str]) -> Optional[int]:
    """Find a name that is at another place of another list.

    Names that are only in one of the lists may be synonyms, such as ImageNet's
    codes and words. Names that a list repeats have no place.

    Args:
        names (Sequence[str]): Names of classes by label.
        others (Sequence[str]): Names in another source.

    Returns:
        int | None: Place in ``names`` of the first such name, or None.
    """
    places = {name: place for place, name in enumerate(others)}
    counts = Counter(names), Counter(others)
    for index, name in enumerate(names):
        is_unique = all(count[name] == 1 for count in counts)
        if is_unique and places[name] != index:
            return index
    return None


def listed(names: Sequence[str]) -> str:
    """Write the first names of a list.

    Args:
        names (Sequence[str]): The names.

    Returns:
        str: At most five names, separated by commas.
    """
    more = ', ...' if len(names) > NAMED else ''
    return f'{", ".join(map(str, names[:NAMED]))}{more}'
