"""Answer questions about an image, and draw the answers next to it.

Input: an image, questions, and the config and checkpoint of a model for visual
question answering.
Output: the answers on the console, and a picture of the image with the
questions, answers and their probabilities. With ``--overlay`` the picture also
shows the attention maps of the image latents (JAR only).

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
import torch
from mmengine.dataset import default_collate
from mmpretrain import VisualQuestionAnsweringInferencer
from mmpretrain.structures import DataSample

import mmvlfusion  # noqa: F401  Configs may inherit from mmvlfusion::.
from mmvlfusion.utils.drawing import escape_math, with_score

matplotlib.use('Agg')
import matplotlib.pyplot as plt

NUM_COLUMNS = 6  # Attention maps in a row.
MAP_SIDE = 1.4  # Of an attention map, in inches.
MIN_TOP_HEIGHT = 3.5  # Of the image and the answers, in inches.
ANSWER_HEIGHT = 0.45  # Of a question with its answer, in inches.
GRAY_WEIGHT, COLOR_WEIGHT = 0.35, 0.65  # Of image and attention in an overlay.


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
        help='also draw the attention maps of the image latents (JAR only)',
    )
    parser.add_argument('--device', help='device (default: a GPU if available)')
    args = parser.parse_args()
    for path in (args.image, args.config, args.checkpoint):
        if not Path(path).is_file():
            parser.error(f'the file {path} does not exist')
    if any(not question.strip() for question in args.questions):
        parser.error('a question is empty: give a text for each question')
    return args


def ask(
    inferencer: VisualQuestionAnsweringInferencer, image: str, questions: List[str]
) -> List[DataSample]:
    """Answer questions about an image.

    Args:
        inferencer (VisualQuestionAnsweringInferencer): The inferencer.
        image (str): Image file.
        questions (list[str]): The questions.

    Returns:
        list[DataSample]: A data sample with ``question``, ``pred_answer`` and, if
        the model computes it, ``pred_score`` for each question.
    """
    return inferencer(
        [image] * len(questions),
        questions,
        return_datasamples=True,
        batch_size=len(questions),
    )


def answer_of(sample: DataSample) -> str:
    """Describe the answer of a data sample of ``ask``.

    Args:
        sample (DataSample): The data sample.

    Returns:
        str: The answer and, if the model computes it, its probability.
    """
    return with_score(sample.pred_answer, sample.get('pred_score'))


@torch.no_grad()
def latent_maps(
    inferencer: VisualQuestionAnsweringInferencer, image: np.ndarray
) -> np.ndarray:
    """Compute the attention map of each image latent.

    Args:
        inferencer (VisualQuestionAnsweringInferencer): The inferencer.
        image (np.ndarray): BGR image, (H, W, 3).

    Returns:
        np.ndarray: The maps, (number of latents, h, w).

    Raises:
        ValueError: If the fusion of the model has no image latents.
    """
    model = inferencer.model
    if not hasattr(model.fusion, 'image_attention'):
        raise ValueError(
            f'--overlay needs a model with JointAdaptiveFusion, but this model '
            f'has {type(model.fusion).__name__}: omit --overlay.'
        )
    batch = default_collate([inferencer.pipeline(dict(img=image, question='?'))])
    images = model.data_preprocessor(batch)['images']
    height, width = model.image_map(images).shape[2:]
    tokens, mask = model.encode_images(images)
    maps = model.fusion.image_attention(tokens, mask)[0]
    # (latents, h * w) -> (latents, h, w)
    return maps.unflatten(1, (height, width)).cpu().numpy()


def overlay_maps(image: np.ndarray, maps: np.ndarray) -> List[Tuple[str, np.ndarray]]:
    """Draw attention maps over an image.

    Args:
        image (np.ndarray): RGB image, (H, W, 3).
        maps (np.ndarray): Attention maps, (number of latents, h, w).

    Returns:
        list[tuple[str, np.ndarray]]: Name and picture (H, W, 3): the mean of
        all maps first, then each map.
    """
    named_maps = [('all latents', maps.mean(axis=0))]
    named_maps += [(f'latent {i}', weights) for i, weights in enumerate(maps)]
    gray = image.mean(axis=2, keepdims=True) / 255
    pictures = []
    for name, weights in named_maps:
        weights = mmcv.imresize(weights.astype(np.float32), image.shape[1::-1])
        weights = (weights - weights.min()) / max(np.ptp(weights), 1e-9)
        color = plt.get_cmap('inferno')(weights)[..., :3]
        pictures.append((name, GRAY_WEIGHT * gray + COLOR_WEIGHT * color))
    return pictures


def draw(
    image: np.ndarray,
    answered: List[DataSample],
    pictures: List[Tuple[str, np.ndarray]],
    out: str,
) -> None:
    """Draw the image, the answers and the overlays.

    Args:
        image (np.ndarray): RGB image, (H, W, 3).
        answered (list[DataSample]): The data samples of ``ask``.
        pictures (list[tuple[str, np.ndarray]]): The pictures of
            ``overlay_maps``, or an empty list.
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
    inferencer = VisualQuestionAnsweringInferencer(
        args.config, pretrained=args.checkpoint, device=args.device
    )
    answered = ask(inferencer, args.image, args.questions)
    for sample in answered:
        print(f'{sample.question} {answer_of(sample)}')
    image = mmcv.imread(args.image)
    pictures = []
    if args.overlay:
        maps = latent_maps(inferencer, image)
        pictures = overlay_maps(image[..., ::-1], maps)
    draw(image[..., ::-1], answered, pictures, args.out)
    print(f'Picture: {args.out}')


if __name__ == '__main__':
    main()
