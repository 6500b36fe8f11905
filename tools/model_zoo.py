"""Write the tables of models from the metafiles.

All models are in docs/model_zoo.md; a matrix of methods and tasks is in README.md.

python tools/model_zoo.py            # write both
python tools/model_zoo.py --check    # fail if one of them is out of date
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import mmengine

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs/model_zoo.md'
README = ROOT / 'README.md'
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
# Rows of the matrix, and the names of their configs.
METHODS = {
    '`TNT`': r'^(?!.*pela-)(.*_)?tnt-',
    '`VSSD`': r'(^|_)vssd-',
    '`VisionSSD`': r'vision-ssd-',
    '`LowRank` of any model': r'(^|_)pela-|^low-rank-',
    'JAR fusion': r'^jar-',
    'skip-connected fusion': r'^(mplug|skip-connected)-',
    'ALBEF fusion': r'^albef-',
    'concatenation': r'^concat-',
    'co-tokenization': r'^co-tokenization-',
    'cross-attention': r'^cross-attention-',
    'Perceiver': r'^perceiver-',
}
# Columns of the matrix, and the names of their configs; the last match counts.
TASKS = {
    'classification': r'_in1k$|_(cifar|flowers|inat|oxford)|32px$',
    'detection': r'rcnn_|^detr_',
    'segmentation': r'^(upernet|trans2seg|fcn)',
    'VQA': r'vqa|gqa|daquar|^skip-connected',
    'SNLI-VE': r'snli-ve',
    'captions': r'_caption_',
    'retrieval': r'_retrieval_',
    'grounding': r'_grounding_',
    'video': r'msrvtt|-video-',
}
# The task of the other configs of a collection.
DEFAULT_TASKS = dict(JAR='VQA')
# Names of the data in those of configs; a cell links to the first of them.
DATASETS = {
    'in1k': 'ImageNet',
    'ade20k': 'ADE20K',
    'refcoco(?!-plus)': 'RefCOCO',
    'refcoco-plus': 'RefCOCO+',
    'coco': 'COCO',
    'vqav2': 'VQA v2',
    'snli-ve(?!.*shapes)': 'SNLI-VE',
    'msrvtt': 'MSR-VTT',
    'shapes': 'shapes',
}
MATRIX = re.compile(
    r'(?<=<!-- tools/model_zoo.py: matrix -->\n).*?(?=<!-- end -->)', re.S
)


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


def find_task(model: Dict[str, Any]) -> Optional[str]:
    """Find the task of a model by its name.

    Args:
        model (dict): Entry of a metafile.

    Returns:
        str | None: The column of the matrix, or None for pre-training.
    """
    task = DEFAULT_TASKS.get(model['In Collection'])
    for name, pattern in TASKS.items():
        if re.search(pattern, model['Name']):
            task = name
    return task


def format_cell(models: List[Dict[str, Any]]) -> str:
    """Format the models of a method and a task as a link to one of them.

    Args:
        models (list[dict]): Entries of metafiles.

    Returns:
        str: The link to the shortest name with the first data of ``DATASETS``,
        with the name of the data as its text, or nothing.
    """
    for pattern, label in DATASETS.items():
        own = [model for model in models if re.search(pattern, model['Name'])]
        if own:
            model = min(own, key=lambda model: len(model['Name']))
            return f'[{label}]({model["Config"]})'
    return ''


def make_matrix(metafiles: List[Dict[str, Any]]) -> str:
    """Make the matrix of methods and tasks.

    Args:
        metafiles (list[dict]): The metafiles.

    Returns:
        str: The matrix in Markdown.
    """
    models = [model for metafile in metafiles for model in metafile['Models']]
    lines = [f'| | {" | ".join(TASKS)} |', '|---' * (len(TASKS) + 1) + '|']
    for method, pattern in METHODS.items():
        own = [model for model in models if re.search(pattern, model['Name'])]
        cells = [
            format_cell([model for model in own if find_task(model) == task])
            for task in TASKS
        ]
        lines.append(f'| {method} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def make_page(metafiles: List[Dict[str, Any]]) -> str:
    """Make the page of all models.

    Args:
        metafiles (list[dict]): The metafiles.

    Returns:
        str: The page in Markdown.
    """
    parts: List[str] = [HEADER]
    for metafile in metafiles:
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
        '--check', action='store_true', help='fail if a table is out of date'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    index = mmengine.load(ROOT / 'model-index.yml')
    metafiles = [mmengine.load(ROOT / path) for path in index['Import']]
    readme = README.read_text()
    texts = {
        PAGE: make_page(metafiles),
        README: MATRIX.sub(lambda _: make_matrix(metafiles), readme),
    }
    for path, text in texts.items():
        if not args.check:
            path.write_text(text)
        elif not path.is_file() or path.read_text() != text:
            sys.exit(f'{path} is out of date: run python tools/model_zoo.py')


if __name__ == '__main__':
    main()
