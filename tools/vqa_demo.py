"""Ask questions about an image, and save the picture with the answers.

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

import mmvlfusion  # noqa: F401  configs may inherit from mmvlfusion::

matplotlib.use('Agg')
import matplotlib.pyplot as plt


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('image', help='image file')
    parser.add_argument('questions', nargs='+', help='questions about it')
    parser.add_argument('--config', required=True, help='config file')
    parser.add_argument('--checkpoint', required=True, help='checkpoint file')
    parser.add_argument('--out', default='vqa.png', help='picture to write')
    parser.add_argument(
        '--overlay',
        action='store_true',
        help='show where the latents of the image look (JAR)',
    )
    parser.add_argument('--device', help='device (default: a GPU if any)')
    args = parser.parse_args()
    for path in (args.image, args.config, args.checkpoint):
        if not Path(path).is_file():
            parser.error(f'there is no file {path}')
    if any(not question.strip() for question in args.questions):
        parser.error('a question is empty')
    return args


def ask(
    inferencer: VisualQuestionAnsweringInferencer, image: str, questions: List[str]
) -> List[DataSample]:
    """The answered data samples."""
    return inferencer(
        [image] * len(questions),
        questions,
        return_datasamples=True,
        batch_size=len(questions),
    )


@torch.no_grad()
def latent_maps(
    inferencer: VisualQuestionAnsweringInferencer, image: np.ndarray
) -> np.ndarray:
    """Where the latents look, (N, h, w).

    Raises:
        ValueError: If the model's fusion has no latents of the image.
    """
    model = inferencer.model
    if not hasattr(model.fusion, 'image_attention'):
        raise ValueError(
            f'--overlay needs the latents of JointAdaptiveFusion; this model '
            f'has {type(model.fusion).__name__}.'
        )
    batch = default_collate([inferencer.pipeline(dict(img=image, question='?'))])
    images = model.data_preprocessor(batch)['images']
    height, width = model.image_map(images).shape[2:]
    tokens, mask = model.encode_images(images)
    maps = model.fusion.image_attention(tokens, mask)[0]
    return maps.unflatten(1, (height, width)).cpu().numpy()


def overlays(image: np.ndarray, maps: np.ndarray) -> List[Tuple[str, np.ndarray]]:
    """The mean of all latents, and each, over the image."""
    gray = image.mean(axis=2, keepdims=True) / 255
    pictures = []
    for name, weights in [
        ('all latents', maps.mean(axis=0)),
        *((f'latent {i}', x) for i, x in enumerate(maps)),
    ]:
        weights = mmcv.imresize(weights.astype(np.float32), image.shape[1::-1])
        weights = (weights - weights.min()) / max(np.ptp(weights), 1e-9)
        color = plt.get_cmap('inferno')(weights)[..., :3]
        pictures.append((name, 0.35 * gray + 0.65 * color))
    return pictures


def draw(
    image: np.ndarray,
    answered: List[DataSample],
    pictures: List[Tuple[str, np.ndarray]],
    out: str,
) -> None:
    """Write the image with questions, answers and scores, and the overlays."""
    lines = [
        f'Q: {s.question}\nA: {s.pred_answer} ({s.pred_score:.2f})' for s in answered
    ]
    top, side, columns = max(3.5, 0.45 * len(lines)), 1.4, 6
    rows = math.ceil(len(pictures) / columns)
    figure = plt.figure(figsize=(columns * side, top + rows * side))
    parts = figure.add_gridspec(
        2, 2, height_ratios=[top, max(rows * side, 0.01)], hspace=0.1
    )
    axis = figure.add_subplot(parts[0, 0])
    axis.imshow(image)
    axis.axis('off')
    axis = figure.add_subplot(parts[0, 1])
    axis.text(0, 1, '\n'.join(lines), va='top', wrap=True)
    axis.axis('off')
    if pictures:
        grid = parts[1, :].subgridspec(rows, columns)
        for number, (name, picture) in enumerate(pictures):
            axis = figure.add_subplot(grid[number])
            axis.imshow(picture)
            axis.set_title(name, fontsize=8, pad=2)
            axis.axis('off')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, bbox_inches='tight')
    plt.close(figure)


def main() -> None:
    args = parse_args()
    inferencer = VisualQuestionAnsweringInferencer(
        args.config, pretrained=args.checkpoint, device=args.device
    )
    answered = ask(inferencer, args.image, args.questions)
    for sample in answered:
        print(f'{sample.question} {sample.pred_answer} ({sample.pred_score:.2f})')
    image = mmcv.imread(args.image)
    pictures = []
    if args.overlay:
        maps = latent_maps(inferencer, image)
        pictures = overlays(image[..., ::-1], maps)
    draw(image[..., ::-1], answered, pictures, args.out)
    print(f'Picture: {args.out}')


if __name__ == '__main__':
    main()
