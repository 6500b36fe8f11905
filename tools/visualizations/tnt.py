"""Visualise a TNT: features, words, attention (arXiv 2103.00112, 3.4, A.1).

Input: an image, a config of any host and optionally a checkpoint.
Output, for the chosen blocks:

- ``features.png``: channels of the sentences as maps of the patches;
- ``tsne.png``: t-SNE of the channels of the sentences;
- ``words.png``: the mean of the words over their channels, as a map;
- ``inner_attention.png``: the attention of a word to the words of its patch;
- ``outer_attention.png``: the attention of a patch and of the class token to the
  patches.

Example:

    python tools/visualizations/tnt.py IMAGE CONFIG CHECKPOINT --blocks 0 5 11

Notation of shapes:

    ====  ================================================
    N     patches of the image ("sentences")
    h, w  rows and columns of the patches
    m     words of a patch
    c     channels of a word
    d     channels of a sentence
    ====  ================================================
"""

import argparse
import math
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Tuple

import matplotlib
import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import DictAction
from torch import nn

from mmvlfusion.apis.build import build_model
from mmvlfusion.apis.options import read_config
from mmvlfusion.models import TNT

matplotlib.use('Agg')
import matplotlib.pyplot as plt

PANEL_SIDE = 1.8  # In inches.
MAX_PERPLEXITY = 30  # Of t-SNE.


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: The arguments.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('image', help='image file')
    parser.add_argument('config', help='config file of any host')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file (default: random weights)'
    )
    parser.add_argument(
        '--out-dir',
        type=Path,
        default=Path('work_dirs/inside_tnt'),
        help='folder of the pictures (default: %(default)s)',
    )
    parser.add_argument(
        '--blocks',
        type=int,
        nargs='+',
        help='blocks, counted from 0 (default: first, middle and last)',
    )
    parser.add_argument(
        '--patch',
        type=int,
        nargs=2,
        metavar=('ROW', 'COLUMN'),
        help='patch whose attention is drawn, counted from 0 (default: the middle one)',
    )
    parser.add_argument(
        '--word',
        type=int,
        nargs=2,
        metavar=('ROW', 'COLUMN'),
        help='word of the patch, counted from 0 (default: the middle one)',
    )
    parser.add_argument(
        '--img-size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size to which the image is resized (default: the short side becomes '
        'that of img_size of the TNT)',
    )
    parser.add_argument(
        '--channels',
        type=int,
        default=8,
        help='number of channels in features.png (default: %(default)s)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings to override, as key=value',
    )
    return parser.parse_args()


def find_tnt(model: nn.Module) -> TNT:
    """Find the TNT in a model of any host.

    Args:
        model (nn.Module): The model.

    Returns:
        TNT: The first TNT.

    Raises:
        ValueError: If there is none.
    """
    for module in model.modules():
        if isinstance(module, TNT):
            return module
    raise ValueError(
        f'The {type(model).__name__} of this config has no mmvlfusion.TNT: '
        'choose a config whose backbone is a TNT.'
    )


def check_indices(name: str, indices: List[int], limits: Tuple[int, ...]) -> None:
    """Check the indices of an option.

    Args:
        name (str): Name of the option.
        indices (list[int]): The indices.
        limits (tuple[int, ...]): The first index that is too large, for each.

    Raises:
        ValueError: If an index is out of range.
    """
    for index, limit in zip(indices, limits):
        if not 0 <= index < limit:
            raise ValueError(
                f'--{name} has {index}, but must be within 0 ... {limit - 1}.'
            )


class Record:
    """Outputs and attention maps of blocks in the forward pass of one image.

    Args:
        tnt (TNT): The backbone, to which forward hooks are added.
        blocks (list[int]): Indices of the blocks.

    Attributes:
        words (dict[int, torch.Tensor]): Words by block, (N, m, c).
        sentences (dict[int, torch.Tensor]): Sentences by block, (1 + N, d).
        inner (dict[int, torch.Tensor]): Inner attention by block, (N, heads, m,
            m); blocks without inner transformer are missing.
        outer (dict[int, torch.Tensor]): Outer attention by block, (heads, 1 + N,
            1 + N).
    """

    def __init__(self, tnt: TNT, blocks: List[int]) -> None:
        self.words: Dict[int, torch.Tensor] = {}
        self.sentences: Dict[int, torch.Tensor] = {}
        self.inner: Dict[int, torch.Tensor] = {}
        self.outer: Dict[int, torch.Tensor] = {}
        self.handles = []
        for block in blocks:
            layer = tnt.layers[block]
            self.handles.append(
                layer.register_forward_hook(partial(self._store_outputs, block))
            )
            self._hook_attention(layer.outer, self.outer, block)
            if layer.inner is not None:
                self._hook_attention(layer.inner, self.inner, block)

    def _hook_attention(self, transformer: nn.Module, store: dict, block: int) -> None:
        """Store the attention maps of a transformer block in ``store``."""
        self.handles.append(
            transformer.attn.register_forward_hook(
                partial(self._store_attention, store, block)
            )
        )

    def _store_outputs(
        self,
        block: int,
        layer: nn.Module,
        args: Any,
        outs: Tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        self.words[block], self.sentences[block] = outs[0], outs[1][0]

    @staticmethod
    def _store_attention(
        store: dict,
        block: int,
        attn: nn.Module,
        args: Tuple[torch.Tensor],
        out: torch.Tensor,
    ) -> None:
        store[block] = attn.attention_map(args[0]).squeeze(0)

    def close(self) -> None:
        """Remove the forward hooks."""
        for handle in self.handles:
            handle.remove()


@torch.no_grad()
def look(
    model: nn.Module, tnt: TNT, image: np.ndarray, blocks: List[int]
) -> Tuple[Record, Tuple[int, int]]:
    """Run the backbone on an image.

    Args:
        model (nn.Module): The model with the data preprocessor.
        tnt (TNT): Its backbone.
        image (np.ndarray): BGR image, (H, W, 3).
        blocks (list[int]): Indices of the blocks to record.

    Returns:
        tuple[Record, tuple[int, int]]: The record, and the rows and columns of
        the patches.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    data = model.data_preprocessor(dict(inputs=[pixels], data_samples=None), False)
    inputs = data['inputs']
    record = Record(tnt, blocks)
    tnt.eval()(inputs)
    record.close()
    grid = tuple(math.ceil(side / tnt.patch_size) for side in inputs.shape[2:])
    return record, grid


def make_axes(
    rows: int, columns: int, titles: List[str], blocks: List[int]
) -> Tuple[Figure, np.ndarray]:
    """Make a grid of empty axes.

    Args:
        rows (int): Rows of the grid.
        columns (int): Columns of the grid.
        titles (list[str]): Titles of the columns.
        blocks (list[int]): Blocks of the rows, for the labels on the left.

    Returns:
        tuple[Figure, np.ndarray]: The figure and the axes, (rows, columns).
    """
    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        figsize=(PANEL_SIDE * columns + 0.6, PANEL_SIDE * rows + 0.5),
    )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, title in zip(axes[0], titles):
        axis.set_title(title, fontsize=9)
    for axis, block in zip(axes[:, 0], blocks):
        axis.set_ylabel(f'block {block}', fontsize=9)
    return figure, axes


def draw_features(
    record: Record, grid: Tuple[int, int], rgb: np.ndarray, number: int
) -> Figure:
    """Draw the sentences: for each block the mean and some of the channels.

    Args:
        record (Record): The record.
        grid (tuple[int, int]): Rows and columns of the patches.
        rgb (np.ndarray): The image, (H, W, 3).
        number (int): Number of channels to draw.

    Returns:
        Figure: The figure.
    """
    blocks = sorted(record.sentences)
    dims = record.sentences[blocks[0]].shape[1]
    channels = np.linspace(0, dims - 1, min(number, dims), dtype=int)
    figure, axes = make_axes(
        len(blocks),
        2 + len(channels),
        ['image', 'mean'] + [f'channel {c}' for c in channels],
        blocks,
    )
    for row, block in zip(axes, blocks):
        # (N, d) -> (h, w, d)
        maps = record.sentences[block][1:].unflatten(0, grid)
        row[0].imshow(rgb)
        row[1].imshow(maps.mean(dim=2))
        for axis, channel in zip(row[2:], channels):
            axis.imshow(maps[..., channel])
    return figure


def draw_tsne(record: Record) -> Figure:
    """Draw a t-SNE of the channels for each block.

    A channel is a vector of its values at all patches.

    Args:
        record (Record): The record.

    Returns:
        Figure: The figure.

    Raises:
        ModuleNotFoundError: If scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            't-SNE needs scikit-learn: run pip install scikit-learn.'
        ) from error
    blocks = sorted(record.sentences)
    figure, axes = plt.subplots(
        1, len(blocks), squeeze=False, figsize=(3 * len(blocks), 3.2)
    )
    for axis, block in zip(axes[0], blocks):
        channels = record.sentences[block][1:].T.numpy()
        perplexity = min(MAX_PERPLEXITY, (len(channels) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init='pca', random_state=0)
        points = tsne.fit_transform(channels)
        axis.scatter(*points.T, s=6)
        axis.set_title(f'block {block}, {len(channels)} channels', fontsize=9)
    return figure


def draw_words(record: Record, grid: Tuple[int, int], rgb: np.ndarray) -> Figure:
    """Draw the mean of the words over their channels, for each block.

    Args:
        record (Record): The record.
        grid (tuple[int, int]): Rows and columns of the patches.
        rgb (np.ndarray): The image, (H, W, 3).

    Returns:
        Figure: The figure.
    """
    blocks = sorted(record.words)
    figure, axes = make_axes(
        1, 1 + len(blocks), ['image'] + [f'block {b}' for b in blocks], []
    )
    axes[0, 0].imshow(rgb)
    for axis, block in zip(axes[0, 1:], blocks):
        means = record.words[block].mean(dim=2)
        side = math.isqrt(means.shape[1])
        # (h * w, side * side) -> (h, w, side, side)
        means = means.unflatten(1, (side, side)).unflatten(0, grid)
        # (h, w, side, side) -> (h * side, w * side)
        axis.imshow(means.permute(0, 2, 1, 3).flatten(2).flatten(0, 1))
    return figure


def draw_inner(
    record: Record,
    grid: Tuple[int, int],
    crop: np.ndarray,
    patch: List[int],
    word: List[int],
) -> Figure:
    """Draw the attention of a word to the words of its patch, for each head.

    Args:
        record (Record): The record.
        grid (tuple[int, int]): Rows and columns of the patches.
        crop (np.ndarray): The image of the patch, (p, p, 3).
        patch (list[int]): Row and column of the patch.
        word (list[int]): Row and column of the word in the patch.

    Returns:
        Figure: The figure.
    """
    blocks = sorted(record.inner)
    heads = record.inner[blocks[0]].shape[1]
    figure, axes = make_axes(
        len(blocks),
        1 + heads,
        [f'patch {tuple(patch)}'] + [f'head {h}' for h in range(heads)],
        blocks,
    )
    for row, block in zip(axes, blocks):
        maps = record.inner[block][patch[0] * grid[1] + patch[1]]
        side = math.isqrt(maps.shape[-1])
        row[0].imshow(crop, extent=(-0.5, side - 0.5, side - 0.5, -0.5))
        for axis, attention in zip(row[1:], maps):
            axis.imshow(attention[word[0] * side + word[1]].unflatten(0, (side, side)))
        for axis in row:
            axis.plot(word[1], word[0], 'r+', markersize=9)
    return figure


def draw_outer(
    record: Record, grid: Tuple[int, int], rgb: np.ndarray, patch: List[int]
) -> Figure:
    """Draw the attention of the class token and of a patch to the patches.

    For the class token this is the mean over the heads, for the patch the mean
    and each head.

    Args:
        record (Record): The record.
        grid (tuple[int, int]): Rows and columns of the patches.
        rgb (np.ndarray): The image, (H, W, 3).
        patch (list[int]): Row and column of the patch.

    Returns:
        Figure: The figure.
    """
    blocks = sorted(record.outer)
    heads = record.outer[blocks[0]].shape[0]
    figure, axes = make_axes(
        len(blocks),
        3 + heads,
        ['image', 'class token', f'patch {tuple(patch)}']
        + [f'patch, head {h}' for h in range(heads)],
        blocks,
    )
    query = 1 + patch[0] * grid[1] + patch[1]
    for row, block in zip(axes, blocks):
        # (heads, 1 + N, N) -> (heads, 1 + N, h, w)
        maps = record.outer[block][:, :, 1:].unflatten(2, grid)
        row[0].imshow(rgb, extent=(-0.5, grid[1] - 0.5, grid[0] - 0.5, -0.5))
        row[1].imshow(maps[:, 0].mean(dim=0))
        row[2].imshow(maps[:, query].mean(dim=0))
        for axis, attention in zip(row[3:], maps[:, query]):
            axis.imshow(attention)
        for axis in (row[0], *row[2:]):
            axis.plot(patch[1], patch[0], 'r+', markersize=9)
    return figure


def update_all_tokens(cfg: dict) -> None:
    """Set the last block of a TNT to update all tokens, not only the class token.

    Args:
        cfg (dict): The model config, which is changed in place.
    """
    for key, value in cfg.items():
        if key == 'cls_only_last_block':
            cfg[key] = False
        elif isinstance(value, dict):
            update_all_tokens(value)


def main() -> None:
    """Draw the pictures of the command line."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    update_all_tokens(cfg.model)
    model = build_model(cfg, args.checkpoint)
    tnt = find_tnt(model)
    depth, size = len(tnt.layers), tnt.patch_size
    blocks = args.blocks or sorted({0, depth // 2, depth - 1})
    check_indices('blocks', blocks, (depth,) * len(blocks))

    image = mmcv.imread(args.image)
    if args.img_size:
        image = mmcv.imresize(image, args.img_size[::-1])
    else:
        image = mmcv.imrescale(image, min(tnt.img_size) / min(image.shape[:2]))
    record, grid = look(model, tnt, image, blocks)
    side = tnt.word_embed.words_per_side
    patch = args.patch or [n // 2 for n in grid]
    word = args.word or [side // 2] * 2
    check_indices('patch', patch, grid)
    check_indices('word', word, (side, side))

    # The backbone pads the image to whole patches.
    rgb = mmcv.impad(mmcv.bgr2rgb(image), shape=(grid[0] * size, grid[1] * size))
    top, left = (n * size for n in patch)
    crop = rgb[top : top + size, left : left + size]
    figures = dict(
        features=draw_features(record, grid, rgb, args.channels),
        tsne=draw_tsne(record),
        words=draw_words(record, grid, rgb),
        outer_attention=draw_outer(record, grid, rgb, patch),
    )
    if record.inner:
        figures['inner_attention'] = draw_inner(record, grid, crop, patch, word)
    args.out_dir.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.tight_layout()
        figure.savefig(args.out_dir / f'{name}.png', dpi=110)
        plt.close(figure)
    print(f'{", ".join(sorted(figures))}: {args.out_dir.resolve()}')


if __name__ == '__main__':
    main()
