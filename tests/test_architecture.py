"""Imports within the package point downwards."""

import ast
from importlib.util import resolve_name

import pytest

from .helpers import ROOT

# Each package may import those of the floors before it.
FLOORS = [
    {'version', 'utils'},
    {'registry', 'hosts'},
    {'datasets', 'evaluation', 'testing'},
    {'models'},
    {'engine', 'analysis', 'apis'},
    {'setup_env'},
]
# Within models: what methods share, then the methods, which do not import each
# other.
MODEL_FLOORS = [
    {'layers', 'utils'},
    {'backbones', 'necks', 'decode_heads', 'low_rank', 'multimodal'},
]
# mmengine.hub looks for register_all_modules in mmvlfusion.utils.
EXCEPTIONS = {('mmvlfusion/utils/__init__.py', 'mmvlfusion.setup_env')}
FILES = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / 'mmvlfusion').rglob('*.py')
    if '.mim' not in path.parts
)


def imported_modules(path):
    """Names of the modules of ours that a file imports, also in functions."""
    package = '.'.join(path.parent.parts)
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = '.' * node.level + (node.module or '')
            names = [resolve_name(module, package) if node.level else module]
            if not node.module:
                names = [f'{names[0]}.{alias.name}' for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith('mmvlfusion.'))


def floor_of(name, floors):
    return next((i for i, names in enumerate(floors) if name in names), None)


def violations(path, floors, depth):
    """Imports of a file that do not point to a lower floor."""
    own = path.parts[depth].removesuffix('.py')
    if own == '__init__' or floor_of(own, floors) is None:
        return []
    prefix = '.'.join(path.parts[:depth]) + '.'
    found = []
    for name in imported_modules(path):
        if not name.startswith(prefix) or (path.as_posix(), name) in EXCEPTIONS:
            continue
        other = name.removeprefix(prefix).split('.')[0]
        if other != own and floor_of(other, floors) >= floor_of(own, floors):
            found.append(name)
    return found


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.as_posix())
def test_imports_point_downwards(path):
    assert violations(path, FLOORS, 1) == []
    if path.parts[1] == 'models':
        assert violations(path, MODEL_FLOORS, 2) == []


def test_every_package_has_a_floor():
    names = {
        path.name.removesuffix('.py')
        for path in (ROOT / 'mmvlfusion').iterdir()
        if (path.is_dir() or path.suffix == '.py') and path.name[0] not in '._'
    }
    assert names - {'__init__', 'py.typed'} == set().union(*FLOORS)
