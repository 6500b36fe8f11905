"""Modules of the package import only from lower layers."""

import ast
from importlib.util import resolve_name

import pytest

from .helpers import ROOT

# A package may import from the layers before it.
LAYERS = [
    {'version', 'utils'},
    {'registry', 'hosts'},
    {'datasets', 'evaluation', 'testing'},
    {'models'},
    {'engine', 'analysis', 'apis', 'deploy'},
    {'setup_env'},
]
# Layers of mmvlfusion.models: shared modules, then distillation, which adds losses to
# any model, then the methods. The methods do not import each other.
MODEL_LAYERS = [
    {'layers', 'utils'},
    {'distillation'},
    {
        'adapters',
        'backbones',
        'necks',
        'decode_heads',
        'low_rank',
        'multimodal',
        'token_merging',
    },
]
# mmengine.hub looks for register_all_modules in mmvlfusion.utils.
EXCEPTIONS = {('mmvlfusion/utils/__init__.py', 'mmvlfusion.setup_env')}
FILES = sorted(
    path.relative_to(ROOT)
    for path in (ROOT / 'mmvlfusion').rglob('*.py')
    if '.mim' not in path.parts
)


def imported_modules(path):
    """Yield the modules of the package that a file imports, also in functions."""
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


def layer_of(name, layers):
    return next((i for i, names in enumerate(layers) if name in names), None)


def violations(path, layers, depth):
    """Return the imports of a file that are not from a lower layer."""
    own = path.parts[depth].removesuffix('.py')
    if own == '__init__' or layer_of(own, layers) is None:
        return []
    prefix = '.'.join(path.parts[:depth]) + '.'
    found = []
    for name in imported_modules(path):
        if not name.startswith(prefix) or (path.as_posix(), name) in EXCEPTIONS:
            continue
        other = name.removeprefix(prefix).split('.')[0]
        if other != own and layer_of(other, layers) >= layer_of(own, layers):
            found.append(name)
    return found


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.as_posix())
def test_modules_import_only_lower_layers(path):
    assert violations(path, LAYERS, 1) == []
    if path.parts[1] == 'models':
        assert violations(path, MODEL_LAYERS, 2) == []


def test_every_package_has_a_layer():
    names = {
        path.name.removesuffix('.py')
        for path in (ROOT / 'mmvlfusion').iterdir()
        if (path.is_dir() or path.suffix == '.py') and path.name[0] not in '._'
    }
    assert names - {'__init__', 'py.typed'} == set().union(*LAYERS)
