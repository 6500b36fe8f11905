"""What a checkpoint would import and call, without doing it."""

import pickle
import zipfile
from typing import Any, Set

# A file of torch.save before PyTorch 1.6 starts with this many pickles.
_NUM_LEGACY_PICKLES = 5


class _Stub(dict):
    """A replacement of every object of a pickle. Nothing is run."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Ignore a value of a list."""

    def extend(self, values: Any) -> None:
        """Ignore values of a list."""

    add = append


class _Scanner(pickle.Unpickler):
    """An unpickler that records the names of classes and functions."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.names: Set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        # The module of Python 2, which pickles of protocol 2 name.
        module = module.replace('__builtin__', 'builtins')
        if (module, name) == ('builtins', 'getattr'):
            return self._getattr
        self.names.add(f'{module}.{name}')
        return _Stub

    def _getattr(self, value: Any, name: str) -> Any:
        self.names.add(f'getattr(..., {name!r})')
        return _Stub()

    def persistent_load(self, pid: Any) -> Any:
        return None


def pickled_names(path: str) -> Set[str]:
    """List the classes and functions that unpickling a file would use.

    Args:
        path (str): A file of ``torch.save`` or of ``pickle``.

    Returns:
        set[str]: Their names, such as ``'collections.OrderedDict'``, and
        ``"getattr(..., 'mean')"`` for an attribute.

    Raises:
        ValueError: If the file is empty, incomplete, or neither of the two.
    """
    names: Set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickles = [
                    name
                    for name in archive.namelist()
                    if name.rpartition('/')[2] == 'data.pkl'
                ]
                if not pickles:
                    raise ValueError('it has no data.pkl')
                for name in pickles:
                    with archive.open(name) as file:
                        names |= _scan(file)
            return names
        with open(path, 'rb') as file:
            start = file.read(2)
            if not start:
                raise ValueError('it is empty')
            if start == b'PK':
                raise ValueError('it is incomplete')
            file.seek(0)
            for number in range(_NUM_LEGACY_PICKLES):
                try:
                    names |= _scan(file)
                except Exception:
                    # Plain pickles end after the first one.
                    if number == 0:
                        raise
                    break
    except Exception as error:
        raise ValueError(f'{path} is not a checkpoint: {error}') from error
    return names


def _scan(file: Any) -> Set[str]:
    scanner = _Scanner(file, encoding='latin1')
    scanner.load()
    return scanner.names
