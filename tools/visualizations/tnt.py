"""Look inside a TNT: features, words, attention (arXiv 2103.00112, 3.4, A.1).

Writes, for one image and the chosen blocks:

- ``features.png``: channels of the sentences, laid out on the patches;
- ``tsne.png``: the channels as points, those that look alike close together;
- ``words.png``: the mean over the channels of the words, at their places;
- ``inner_attention.png``: what one word of a patch attends to within it;
- ``outer_attention.png``: what that patch and the class token attend to.
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
from mmengine.config import Config, DictAction
from torch import nn

from mmvlfusion.apis.build import build_model
from mmvlfusion.models import TNT

matplotlib.use('Agg')
import matplotlib.pyplot as plt

INCHES = 1.8


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('image', help='image file')
    parser.add_argument('config', help='config file of any host')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint file; none: random weights'
    )
    parser.add_argument('--out-dir', type=Path, default=Path('work_dirs/inside_tnt'))
    parser.add_argument(
        '--blocks',
        type=int,
        nargs='+',
        help='blocks, counted from 0; by default first, middle and last',
    )
    parser.add_argument(
        '--patch',
        type=int,
        nargs=2,
        metavar=('ROW', 'COLUMN'),
        help='the patch whose attention is shown; by default the middle one',
    )
    parser.add_argument(
        '--word',
        type=int,
        nargs=2,
        metavar=('ROW', 'COLUMN'),
        help='the word of the patch; by default the middle one',
    )
    parser.add_argument(
        '--img-size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size that the image is brought to; by default its short side '
        "becomes that of the TNT's img_size",
    )
    parser.add_argument('--channels', type=int, default=8)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args()


def find_tnt(model: nn.Module) -> TNT:
    """The TNT within a model of any host."""
    for module in model.modules():
        if isinstance(module, TNT):
            return module
    raise ValueError(
        f'The {type(model).__name__} of this config has no mmvlfusion.TNT.'
    )


def check_indices(name: str, indices: List[int], limits: Tuple[int, ...]) -> None:
    for index, limit in zip(indices, limits):
        if not 0 <= index < limit:
            raise ValueError(
                f'--{name} has {index}, but must be within 0 ... {limit - 1} here.'
            )


class Record:
    """What the blocks of a TNT received and returned in one forward pass.

    Attributes:
        words (dict[int, torch.Tensor]): Per block, (N, m, c).
        sentences (dict[int, torch.Tensor]): Per block, (1 + N, d).
        inner (dict[int, torch.Tensor]): Inner attention, (N, heads, m, m);
            blocks without inner transformer are missing.
        outer (dict[int, torch.Tensor]): Outer attention, (heads, 1 + N,
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
                layer.register_forward_hook(partial(self._block, block))
            )
            self._tap(layer.outer, self.outer, block)
            if layer.inner is not None:
                self._tap(layer.inner, self.inner, block)

    def _tap(self, transformer: nn.Module, store: dict, block: int) -> None:
        self.handles.append(
            transformer.attn.register_forward_hook(
                partial(self._attention, store, block)
            )
        )

    def _block(
        self,
        block: int,
        layer: nn.Module,
        args: Any,
        outs: Tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        self.words[block], self.sentences[block] = outs[0], outs[1][0]

    @staticmethod
    def _attention(
        store: dict,
        block: int,
        attn: nn.Module,
        args: Tuple[torch.Tensor],
        out: torch.Tensor,
    ) -> None:
        store[block] = attn.attention_map(args[0]).squeeze(0)

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


@torch.no_grad()
def look(
    model: nn.Module, tnt: TNT, image: np.ndarray, blocks: List[int]
) -> Tuple[Record, Tuple[int, int]]:
    """Run the backbone on a BGR image; return the record and the grid."""
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    inputs = model.data_preprocessor(dict(inputs=[pixels], data_samples=None), False)[
        'inputs'
    ]
    record = Record(tnt, blocks)
    tnt.eval()(inputs)
    record.close()
    grid = tuple(math.ceil(side / tnt.patch_size) for side in inputs.shape[2:])
    return record, grid


def make_axes(
    rows: int, columns: int, heads: List[str], blocks: List[int]
) -> Tuple[Any, np.ndarray]:
    """Empty axes, with titles over the columns and the blocks at the left."""
    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        figsize=(INCHES * columns + 0.6, INCHES * rows + 0.5),
    )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for axis, head in zip(axes[0], heads):
        axis.set_title(head, fontsize=9)
    for axis, block in zip(axes[:, 0], blocks):
        axis.set_ylabel(f'block {block}', fontsize=9)
    return figure, axes


def draw_features(
    record: Record, grid: Tuple[int, int], rgb: np.ndarray, number: int
) -> Any:
    """A row for each block: the mean of the channels, then some of them."""
    blocks = sorted(record.sentences)
    dims = record.sentences[blocks[0]].shape[1]
    shown = np.linspace(0, dims - 1, min(number, dims), dtype=int)
    figure, axes = make_axes(
        len(blocks),
        2 + len(shown),
        ['image', 'mean'] + [f'channel {c}' for c in shown],
        blocks,
    )
    for row, block in zip(axes, blocks):
        maps = record.sentences[block][1:].unflatten(0, grid)
        row[0].imshow(rgb)
        row[1].imshow(maps.mean(dim=2))
        for axis, channel in zip(row[2:], shown):
            axis.imshow(maps[..., channel])
    return figure


def draw_tsne(record: Record) -> Any:
    """The channels of each block, by t-SNE over the patches."""
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            't-SNE needs scikit-learn: pip install scikit-learn'
        ) from error
    blocks = sorted(record.sentences)
    figure, axes = plt.subplots(
        1, len(blocks), squeeze=False, figsize=(3 * len(blocks), 3.2)
    )
    for axis, block in zip(axes[0], blocks):
        channels = record.sentences[block][1:].T.numpy()
        points = TSNE(
            perplexity=min(30, (len(channels) - 1) / 3), init='pca', random_state=0
        ).fit_transform(channels)
        axis.scatter(*points.T, s=6)
        axis.set_title(f'block {block}, {len(channels)} channels', fontsize=9)
    return figure


def draw_words(record: Record, grid: Tuple[int, int], rgb: np.ndarray) -> Any:
    """The words' mean over their channels, each word at its place."""
    blocks = sorted(record.words)
    figure, axes = make_axes(
        1, 1 + len(blocks), ['image'] + [f'block {b}' for b in blocks], []
    )
    axes[0, 0].imshow(rgb)
    for axis, block in zip(axes[0, 1:], blocks):
        means = record.words[block].mean(dim=2)
        side = math.isqrt(means.shape[1])
        # (h * w, side * side) to (h * side, w * side).
        means = means.unflatten(1, (side, side)).unflatten(0, grid)
        axis.imshow(means.permute(0, 2, 1, 3).flatten(2).flatten(0, 1))
    return figure


def draw_inner(
    record: Record,
    grid: Tuple[int, int],
    crop: np.ndarray,
    patch: List[int],
    word: List[int],
) -> Any:
    """For each head, what a word of a patch attends to."""
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
) -> Any:
    """What a patch (mean over the heads, and each head) and the class token
    attend to among the patches."""
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
        maps = record.outer[block][:, :, 1:].unflatten(2, grid)
        row[0].imshow(rgb, extent=(-0.5, grid[1] - 0.5, grid[0] - 0.5, -0.5))
        row[1].imshow(maps[:, 0].mean(dim=0))
        row[2].imshow(maps[:, query].mean(dim=0))
        for axis, attention in zip(row[3:], maps[:, query]):
            axis.imshow(attention)
        for axis in (row[0], *row[2:]):
            axis.plot(patch[1], patch[0], 'r+', markersize=9)
    return figure


def show_all_tokens(cfg: dict) -> None:
    """Let the last block of a TNT update all tokens, not only the class token."""
    for key, value in cfg.items():
        if key == 'cls_only_last_block':
            cfg[key] = False
        elif isinstance(value, dict):
            show_all_tokens(value)


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    show_all_tokens(cfg.model)
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

    # What the backbone sees, filled up to whole patches.
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
