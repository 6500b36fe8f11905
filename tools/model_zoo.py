"""Write the table of all models, docs/model_zoo.md, from the metafiles.

python tools/model_zoo.py            # write the page
python tools/model_zoo.py --check    # fail if the page is out of date
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Dict, List

import mmengine

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs/model_zoo.md'
HEADER = """\
# Model zoo

*Written by `python tools/model_zoo.py` from the metafiles in `configs/`.*

- **params**: parameters in millions, including the head.
- **MACs**: multiply-accumulates in billions of one forward pass at the size of the
  config, with those of attention (`python tools/analysis_tools/get_flops.py CONFIG`).
- **published**: score of the paper or of the authors' code. **measured**: score of this
  repository. A model without a measured score was not trained here.
- **batch**: processes x images per process. The training command is

  ```bash
  tools/dist_train.sh configs/FOLDER/CONFIG.py PROCESSES
  ```

- No weights are released with this repository. Each section links to the public weights
  that its converters read.
"""
COLUMNS = ('config', 'batch', 'params', 'MACs', 'data', 'published', 'measured')


def format_results(model: Dict[str, Any]) -> Dict[str, str]:
    """Format the scores of a model.

    Args:
        model (dict): Entry of a metafile.

    Returns:
        dict[str, str]: Texts of the columns data, published and measured.
    """
    metadata = model['Metadata']
    results = model.get('Results', [])
    scores = '<br>'.join(
        f'{value:g} {name}' + (f' ({result["Task"]})' if len(results) > 1 else '')
        for result in results
        for name, value in result['Metrics'].items()
    )
    datasets = dict.fromkeys(result['Dataset'] for result in results)
    cells = dict(data='<br>'.join(datasets), published='', measured='')
    if 'Published' in metadata:
        cells['published'] = f'{scores}<br>{metadata["Published"]}'
    elif 'Measured here' in metadata:
        cells['measured'] = f'{scores}<br>{metadata["Measured here"]}'
    return cells


def format_row(model: Dict[str, Any]) -> str:
    """Format a model as a row of the table.

    Args:
        model (dict): Entry of a metafile.

    Returns:
        str: The row in Markdown.
    """
    metadata = model['Metadata']
    processes, images = re.search(r'_(\d+)xb(\d+)-', model['Name']).groups()
    macs = metadata.get('FLOPs')
    cells = dict(
        config=f'[{model["Name"]}](../{model["Config"]})',
        batch=f'{processes} x {images}',
        params=f'{metadata["Parameters"] / 1e6:.2f}',
        MACs='' if macs is None else f'{macs / 1e9:.2f}',
        **format_results(model),
    )
    return '| ' + ' | '.join(cells[name] for name in COLUMNS) + ' |'


def make_page() -> str:
    """Make the page of all models.

    Returns:
        str: The page in Markdown.
    """
    parts: List[str] = [HEADER]
    for path in mmengine.load(ROOT / 'model-index.yml')['Import']:
        metafile = mmengine.load(ROOT / path)
        for collection in metafile['Collections']:
            name, paper = collection['Name'], collection.get('Paper')
            source = f'[{paper["Title"]}]({paper["URL"]}) · ' if paper else ''
            readme = f'../{collection["README"]}'
            rows = [
                format_row(model)
                for model in metafile['Models']
                if model['In Collection'] == name
            ]
            parts.append(
                f'\n## {name}\n\n{source}'
                f'[how to use]({readme}) · [weights]({readme}#weights)\n\n'
                f'| {" | ".join(COLUMNS)} |\n{"|---" * len(COLUMNS)}|\n'
                + '\n'.join(rows)
                + '\n'
            )
    return ''.join(parts)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--check', action='store_true', help='fail if the page is out of date'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    page = make_page()
    if not args.check:
        PAGE.write_text(page)
    elif not PAGE.is_file() or PAGE.read_text() != page:
        sys.exit(f'{PAGE} is out of date: run python tools/model_zoo.py')


if __name__ == '__main__':
    main()
