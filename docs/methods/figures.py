"""Draw the figures of the methods: python docs/methods/figures.py"""

from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use('svg')
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
IMAGE, TEXT, JOINT, PLAIN = '#cfe3f5', '#fbe0c3', '#d8ecd0', '#eeeeee'
matplotlib.rcParams.update({'svg.hashsalt': 'mmvlfusion', 'svg.fonttype': 'none'})


class Figure:
    """A drawing of boxes and arrows.

    Args:
        width (float): Width in units; a box is usually 2 to 3 wide.
        height (float): Height in units.
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure, self.axes = plt.subplots(figsize=(width * 0.75, height * 0.75))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(0, height)
        self.axes.axis('off')

    def box(self, x, y, text, color=PLAIN, width=2.4, height=0.8):
        """Draw a box with its centre at (x, y)."""
        corner = (x - width / 2, y - height / 2)
        self.axes.add_patch(
            plt.Rectangle(corner, width, height, facecolor=color, edgecolor='#444444')
        )
        self.text(x, y, text)

    def text(self, x, y, text, **kwargs):
        """Write centred text."""
        self.axes.text(x, y, text, ha='center', va='center', fontsize=9, **kwargs)

    def arrow(self, *points, style='-|>'):
        """Draw an arrow through points."""
        for start, end in pairwise(points[:-1]):
            self.axes.plot(*zip(start, end), color='#444444', linewidth=1)
        self.axes.annotate(
            '',
            points[-1],
            points[-2],
            arrowprops=dict(arrowstyle=style, color='#444444', shrinkA=0, shrinkB=0),
        )

    def save(self, name):
        """Write the figure as SVG."""
        self.figure.savefig(
            HERE / f'{name}.svg', bbox_inches='tight', metadata={'Date': None}
        )
        plt.close(self.figure)


def draw_tnt():
    figure = Figure(13, 4.6)
    figure.text(6.5, 4.3, 'block of TNT, repeated 12 times', style='italic')
    figure.box(1.6, 3, 'words\n(B N, m, c)', IMAGE)
    figure.box(5, 3, 'attention and FFN\nwithin each patch', IMAGE, width=3)
    figure.box(11.2, 3, 'words', IMAGE)
    figure.box(1.6, 1, 'sentences\n(B, 1 + N, d)', JOINT)
    figure.box(5, 1, 'add', JOINT, width=1)
    figure.box(8.2, 1, 'attention and FFN\nover all patches', JOINT, width=3)
    figure.box(11.2, 1, 'sentences', JOINT, width=1.8)
    figure.arrow((2.8, 3), (3.5, 3))
    figure.arrow((6.5, 3), (10, 3))
    figure.arrow((2.8, 1), (4.5, 1))
    figure.arrow((5, 2.6), (5, 1.4))
    figure.text(6.5, 2, 'norm, linear m c to d')
    figure.arrow((5.5, 1), (6.7, 1))
    figure.arrow((9.7, 1), (10.3, 1))
    figure.save('tnt')


def draw_pela():
    figure = Figure(13, 4.6)
    figure.box(1.5, 3.6, 'dense layer\nW (out x in)', PLAIN)
    figure.box(5.2, 4, 'down (r x in)', JOINT, height=0.6)
    figure.box(5.2, 3.2, 'up (out x r)', JOINT, height=0.6)
    figure.arrow((2.7, 3.6), (4, 3.6))
    figure.text(3.35, 3.9, 'SVD')
    figure.arrow((5.2, 3.7), (5.2, 3.5))
    figure.box(8.6, 3.6, 'dense teacher,\nfrozen', PLAIN, width=2.2)
    figure.box(8.6, 1, 'low-rank student', JOINT, width=2.2)
    figure.arrow((5.2, 2.9), (5.2, 1), (7.5, 1))
    figure.box(11.8, 2.3, '$L_{fd}$: features\nof each block', TEXT, width=2.2)
    figure.arrow((9.7, 3.6), (11.8, 3.6), (11.8, 2.7))
    figure.arrow((9.7, 1), (11.8, 1), (11.8, 1.9))
    figure.text(2.2, 1.1, '$L_{rwp}$ limits the distance of\nup x down from W')
    figure.text(8.6, 0.2, 'loss of the task + weighted $L_{fd}$ + weighted $L_{rwp}$')
    figure.save('pela')


def draw_jar():
    figure = Figure(13, 4.6)
    figure.box(1.6, 3.4, 'image tokens\n(B, M, C)', IMAGE)
    figure.box(1.6, 1.2, 'text tokens\n(B, L, D)', TEXT)
    figure.box(4.8, 3.4, 'resample to\nlatents, once', IMAGE)
    figure.box(4.8, 1.2, 'resample to\nlatents, once', TEXT)
    figure.box(8.2, 2.3, 'gated cross-\nattention joins them', JOINT, width=2.8)
    figure.box(11.6, 2.3, 'transformer\nlayers', JOINT, width=2)
    for y in (3.4, 1.2):
        figure.arrow((2.8, y), (3.6, y))
    figure.arrow((6, 3.4), (8.2, 3.4), (8.2, 2.7))
    figure.arrow((6, 1.2), (7.6, 1.2), (7.6, 1.9))
    figure.arrow((9.6, 2.3), (10.6, 2.3))
    figure.arrow((11.6, 1.9), (11.6, 0.9), (8.8, 0.9), (8.8, 1.9))
    figure.text(10.2, 0.6, 'next iteration, plus the text latents')
    figure.arrow((11.6, 2.7), (11.6, 4), style='-|>')
    figure.text(11.6, 4.25, 'tokens for the head')
    figure.save('jar')


def draw_mplug():
    figure = Figure(13, 5)
    figure.box(1.5, 3.8, 'image tokens\n(long)', IMAGE)
    figure.box(1.5, 1.4, 'text tokens\n(short)', TEXT)
    figure.box(5, 1.4, 'S layers: the text\nattends to the image', TEXT, width=3)
    figure.box(9, 2.6, 'connected layer:\nattention over both', JOINT, width=2.8)
    figure.box(11.9, 3.8, 'image', IMAGE, width=1.6)
    figure.box(11.9, 1.4, 'text', TEXT, width=1.6)
    figure.arrow((2.7, 1.4), (3.5, 1.4))
    figure.arrow((2.7, 3.8), (5, 3.8), (5, 1.8))
    figure.arrow((2.7, 3.8), (9, 3.8), (9, 3))
    figure.text(6.9, 4.1, 'skip connection: the image is not updated in the S layers')
    figure.arrow((6.5, 1.4), (9, 1.4), (9, 2.2))
    figure.arrow((10.4, 2.6), (11.9, 2.6), (11.9, 3.4))
    figure.arrow((10.4, 2.6), (11.9, 2.6), (11.9, 1.8))
    figure.text(6.5, 0.4, 'repeated: N blocks of S layers and one connected layer')
    figure.save('mplug')


if __name__ == '__main__':
    draw_tnt()
    draw_pela()
    draw_jar()
    draw_mplug()
