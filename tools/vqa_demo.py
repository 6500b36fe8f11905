"""Answer questions about an image, and draw the answers next to it.

Input: an image, questions, and the config and checkpoint of a model for visual
question answering.
Output: the answers on the console, and a picture of the image with the
questions, answers and their probabilities. With ``--overlay`` the picture also
shows where the fusion attends to: for JAR the map of each image latent, for other
fusions the mean over words and layers for the last question.

Example:

    python tools/vqa_demo.py IMAGE "QUESTION" ["QUESTION" ...] \\
        --config CONFIG --checkpoint CHECKPOINT [--overlay]
"""

import argparse
import math
from pathlib import Path
from typing import List, Tuple

import matplotlib
import mmcv
import numpy as np
from mmpretrain.structures import DataSample

from mmvlfusion.apis.inference import Predictor
from mmvlfusion.utils.drawing import escape_math, with_score

matplotlib.use('Agg')
import matplotlib.pyplot as plt

NUM_COLUMNS = 6  # Attention maps in a row.
MAP_SIDE = 1.4  # Of an attention map, in inches.
MIN_TOP_HEIGHT = 3.5  # Of the image and the answers, in inches.
ANSWER_HEIGHT = 0.45  # Of a question with its answer, in inches.


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('image', help='image file')
    parser.add_argument('questions', nargs='+', help='questions about the image')
    parser.add_argument('--config', required=True, help='config file')
    parser.add_argument('--checkpoint', required=True, help='checkpoint file')
    parser.add_argument(
        '--out', default='vqa.png', help='picture to write (default: %(default)s)'
    )
    parser.add_argument(
        '--overlay',
        action='store_true',
        help='also draw where the fusion attends to',
    )
    parser.add_argument('--device', help='device (default: a GPU if available)')
    args = parser.parse_args()
    for path in (args.image, args.config, args.checkpoint):
        if not Path(path).is_file():
            parser.error(f'the file {path} does not exist')
    if any(not question.strip() for question in args.questions):
        parser.error('a question is empty: give a text for each question')
    return args


def answer_of(sample: DataSample) -> str:
    """Describe the answer of a data sample.

    Args:
        sample (DataSample): The data sample, with ``pred_answer``.

    Returns:
        str: The answer and, if the model computes it, its probability.
    """
    return with_score(sample.pred_answer, sample.get('pred_score'))


def draw(
    image: np.ndarray,
    answered: List[DataSample],
    pictures: List[Tuple[str, np.ndarray]],
    out: str,
) -> None:
    """Draw the image, the answers and the overlays.

    Args:
        image (np.ndarray): RGB image, (H, W, 3).
        answered (list[DataSample]): The data samples with the answers.
        pictures (list[tuple[str, np.ndarray]]): The pictures of
            ``Predictor.attention``, or an empty list.
        out (str): The file to write.
    """
    lines = [f'Q: {sample.question}\nA: {answer_of(sample)}' for sample in answered]
    top_height = max(MIN_TOP_HEIGHT, ANSWER_HEIGHT * len(lines))
    rows = math.ceil(len(pictures) / NUM_COLUMNS)
    maps_height = rows * MAP_SIDE
    figure = plt.figure(figsize=(NUM_COLUMNS * MAP_SIDE, top_height + maps_height))
    parts = figure.add_gridspec(
        2, 2, height_ratios=[top_height, max(maps_height, 0.01)], hspace=0.1
    )
    axis = figure.add_subplot(parts[0, 0])
    axis.imshow(image)
    axis.axis('off')
    axis = figure.add_subplot(parts[0, 1])
    axis.text(0, 1, escape_math('\n'.join(lines)), va='top', wrap=True)
    axis.axis('off')
    if pictures:
        grid = parts[1, :].subgridspec(rows, NUM_COLUMNS)
        for number, (name, picture) in enumerate(pictures):
            axis = figure.add_subplot(grid[number])
            axis.imshow(picture)
            axis.set_title(escape_math(name), fontsize=8, pad=2)
            axis.axis('off')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, bbox_inches='tight')
    plt.close(figure)


def main() -> None:
    """Answer the questions of the command line."""
    args = parse_args()
    predictor = Predictor.from_files(
        args.config, args.checkpoint, task='vqa', device=args.device
    )
    image = mmcv.imread(args.image)
    answered = [
        predictor.predict_sample(image, question) for question in args.questions
    ]
    for sample in answered:
        print(f'{sample.question} {answer_of(sample)}')
    pictures = []
    if args.overlay:
        pictures = predictor.attention(image, args.questions[-1])
        if not pictures:
            raise ValueError(
                '--overlay needs a fusion with attention to the image, but this '
                f'model has {type(predictor.model.fusion).__name__}: omit --overlay.'
            )
    draw(image[..., ::-1], answered, pictures, args.out)
    print(f'Picture: {args.out}')


if __name__ == '__main__':
    main()
