"""The tested versions agree with the supported ones and with the documents."""

import re
from configparser import ConfigParser

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmvlfusion.utils.versions import LIBRARIES

from .helpers import ROOT

FOLDER = ROOT / 'requirements'
STACKS = sorted(path.name for path in (FOLDER / 'stacks').iterdir())
SETUP = ConfigParser()
SETUP.read(ROOT / 'setup.cfg')
# Rows of the README's table of versions by the name of the stack.
ROWS = dict(
    re.findall(
        r'^\| `([\w.-]+)` \| (3\.\d+ \| .*) \|$',
        (ROOT / 'README.md').read_text(),
        re.M,
    )
)


def lines_of(stack, name):
    """Return the lines of a file of a stack without comments."""
    path = FOLDER / 'stacks' / stack / f'{name}.txt'
    lines = (path if path.exists() else FOLDER / path.name).read_text().split('\n')
    return [line for line in lines if line and not line.startswith('#')]


def pythons(stack):
    (line,) = lines_of(stack, 'python')
    return line.split(', ')


def versions(stack, *names):
    """Return the specifiers of a stack by the name without the prefix of onedl."""
    requirements = [
        Requirement(line) for name in names for line in lines_of(stack, name)
    ]
    return {
        requirement.name.removeprefix('onedl-'): requirement.specifier
        for requirement in requirements
    }


def pinned(specifier):
    """Return the version of a specifier such as ``==1.0``."""
    (part,) = specifier
    assert part.operator == '=='
    return Version(part.version)


@pytest.mark.parametrize('stack', STACKS)
def test_pins_are_supported(stack):
    pins = versions(stack, 'mmcv', 'hosts')
    for library in LIBRARIES.values():
        names = {name.removeprefix('onedl-') for name in library.distributions}
        (name,) = names & set(pins)
        assert pinned(pins[name]) in SpecifierSet(
            f'>={library.lowest},<{library.limit}'
        )


def test_lowest_supported_mmcv_is_tested():
    tested = {pinned(versions(stack, 'mmcv')['mmcv']) for stack in STACKS}
    assert min(tested) == Version(LIBRARIES['mmcv'].lowest)


def test_transformers_of_each_stack_are_in_the_range_of_the_extra():
    (extra,) = (
        Requirement(line).specifier
        for line in (FOLDER / 'multimodal.txt').read_text().split('\n')
        if line.startswith('transformers')
    )
    for stack in STACKS:
        (part, *_) = versions(stack, 'multimodal')['transformers']
        if part.operator == '==':
            assert part.version in extra, stack


def test_python_versions_agree():
    tested = {version for stack in STACKS for version in pythons(stack)}
    classifiers = re.findall(r'Python :: (3\.\d+)', SETUP['metadata']['classifiers'])
    assert tested == set(classifiers)
    required = SpecifierSet(SETUP['options']['python_requires'])
    releases = {f'3.{minor}' for minor in range(30) if f'3.{minor}' in required}
    assert tested == releases


def test_readme_states_the_supported_range():
    text = (ROOT / 'README.md').read_text()
    for name in ('mmengine', 'mmcv'):
        assert f'{name} >= {LIBRARIES[name].lowest}' in text
    lowest, *_, highest = sorted(pythons('onedl-torch2.11'), key=Version)
    assert f'Python {lowest} to {highest}' in text


@pytest.mark.parametrize('stack', STACKS)
def test_readme_lists_the_pins(stack):
    pins = versions(stack, 'torch', 'mmcv', 'hosts')
    for name, specifier in pins.items():
        if specifier and name != 'torchvision':
            assert f'{name} {pinned(specifier)}' in ROWS[stack]


def test_readme_lists_no_other_stack():
    assert set(ROWS) == set(STACKS)
