"""Settings of Sphinx: python -m sphinx docs docs/_build/html"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmvlfusion.version import __version__  # noqa: E402

project = 'mmvlfusion'
author = 'mmvlfusion contributors'
release = __version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = 'mmvlfusion'

myst_enable_extensions = ['colon_fence', 'dollarmath']
myst_heading_anchors = 3

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
# Methods that the hosts call, which each class documents in its own docstring.
autodoc_default_options = {'members': True, 'exclude-members': 'forward, training'}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

DOCS = Path(__file__).parent
README = re.compile(r'\{\{ README of (\w+) \}\}')
LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)')


def adapt_link(match: re.Match, folder: Path, page: Path) -> str:
    """Make a link of a repository file work on the site.

    Links to READMEs of configs become links to the pages of the methods, and
    those to files that are not on the site become code.
    """
    mark, text, target, anchor = match.groups()
    if '://' in target:
        return match[0]
    path = (folder / target).resolve()
    if path.name == 'README.md' and path.parent.parent == ROOT / 'configs':
        path = DOCS / 'methods' / f'{path.parent.name}.md'
    elif DOCS not in path.parents:
        return text if text.startswith('`') else f'`{text}`'
    return f'{mark}[{text}]({os.path.relpath(path, page.parent)}{anchor or ""})'


def adapt_page(app, docname, source):
    """Insert READMEs without their title, and adapt links."""
    page = DOCS / f'{docname}.md'

    def adapt(text: str, folder: Path) -> str:
        return LINK.sub(lambda match: adapt_link(match, folder, page), text)

    def insert(match: re.Match) -> str:
        readme = ROOT / 'configs' / match[1] / 'README.md'
        _, _, text = readme.read_text().partition('\n')
        return adapt(text, readme.parent)

    source[0] = README.sub(insert, adapt(source[0], page.parent))


def setup(app):
    app.connect('source-read', adapt_page)
