"""Sampling and rendering of scenes."""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """A regular polygon, or a star if the inner radius is below 1."""
    angles = np.arange(2 * corners) * np.pi / corners - np.pi / 2
    radii = np.where(np.arange(2 * corners) % 2, inner, 1.0)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]


def _crescent() -> np.ndarray:
    outer = np.linspace(0.35, 2 * np.pi - 0.35, 24)
    inner = np.linspace(2 * np.pi - 0.75, 0.75, 18)
    return np.concatenate(
        [
            np.stack([np.cos(outer), np.sin(outer)], 1),
            np.stack([0.38 + 0.75 * np.cos(inner), 0.75 * np.sin(inner)], 1),
        ]
    )


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], 1) / 17


# Outlines within the unit circle, in image coordinates (y points down).
OUTLINES: Dict[str, np.ndarray] = {
    'circle': _regular(16),
    'square': np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.78,
    'triangle': _regular(3, 0.5),
    'star': _regular(5, 0.42),
    'cross': np.array(
        [
            (-1, -3),
            (1, -3),
            (1, -1),
            (3, -1),
            (3, 1),
            (1, 1),
            (1, 3),
            (-1, 3),
            (-1, 1),
            (-3, 1),
            (-3, -1),
            (-1, -1),
        ]
    )
    * 0.31,
    'arrow': np.array(
        [(0, -1), (0.8, 0), (0.3, 0), (0.3, 0.95), (-0.3, 0.95), (-0.3, 0), (-0.8, 0)]
    ),
    'crescent': _crescent(),
    'heart': _heart(),
}
KINDS = tuple(OUTLINES)

# BGR, as OpenCV writes images.
COLORS: Dict[str, Tuple[int, int, int]] = {
    'red': (45, 45, 215),
    'green': (60, 170, 60),
    'blue': (215, 90, 40),
    'yellow': (40, 215, 235),
    'purple': (170, 50, 140),
    'orange': (30, 130, 245),
    'cyan': (215, 205, 60),
    'pink': (190, 150, 250),
}
TEXTURES = ('plain', 'striped', 'dotted', 'checked')


@dataclass(frozen=True)
class Level:
    """How hard the scenes are; sizes are relative to the image's side."""

    scene_size: int
    icon_size: int
    icon_radius: Tuple[float, float]
    num_shapes: Tuple[int, int]
    radii: Dict[str, Tuple[float, float]]
    textures: Tuple[str, ...]
    tilt: float
    noise: float


LEVELS = {
    'easy': Level(
        128, 32, (0.36, 0.45), (1, 3), dict(large=(0.16, 0.25)), ('plain',), 15.0, 4.0
    ),
    'standard': Level(
        256,
        64,
        (0.22, 0.42),
        (3, 8),
        dict(small=(0.055, 0.085), large=(0.11, 0.19)),
        TEXTURES,
        180.0,
        12.0,
    ),
}


@dataclass
class Shape:
    """One object of a scene: what it is, and where.

    ``outline`` is in pixels, (N, 2); ``mask`` tells its visible pixels.
    """

    kind: str
    color: str
    texture: str
    size: str
    center: np.ndarray
    outline: np.ndarray
    alpha: np.ndarray
    mask: np.ndarray


@dataclass
class Scene:
    """An image, (H, W, 3) BGR, and its shapes from back to front."""

    image: np.ndarray
    shapes: List[Shape]


def _place(
    rng: np.random.Generator,
    side: int,
    level: Level,
    kind: str,
    radius: float,
    center: np.ndarray,
    size: str,
) -> Shape:
    angle = np.deg2rad(rng.uniform(-level.tilt, level.tilt))
    rotation = np.array(
        [(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))]
    )
    outline = OUTLINES[kind] @ rotation * radius + center
    alpha = np.zeros((side, side), np.uint8)
    # Four binary digits of a pixel, for smooth borders.
    cv2.fillPoly(alpha, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return Shape(
        kind,
        rng.choice(list(COLORS)),
        rng.choice(level.textures),
        size,
        center,
        outline,
        alpha,
        alpha > 127,
    )


def _hides_too_much(shapes: List[Shape], new: Shape) -> bool:
    """Whether less than 60 % of an earlier shape would stay visible."""
    return any(
        (shape.mask & ~new.mask).sum() < 0.6 * (shape.alpha > 127).sum()
        for shape in shapes
    )


def _background(rng: np.random.Generator, side: int) -> np.ndarray:
    """Blotches between muted colours."""
    corners = rng.uniform(50, 150, (3, 3, 1)) + rng.uniform(-18, 18, (3, 3, 3))
    return cv2.resize(
        corners.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR
    )


def _texture(
    rng: np.random.Generator, name: str, side: int, period: float
) -> Optional[np.ndarray]:
    """Brightness factors of a texture, or None for a plain one."""
    if name == 'plain':
        return None
    y, x = np.indices((side, side), np.float32)
    angle = rng.uniform(0, np.pi)
    u = (np.cos(angle) * x + np.sin(angle) * y) / period
    v = (np.cos(angle) * y - np.sin(angle) * x) / period
    if name == 'striped':
        dark = u % 1 < 0.5
    elif name == 'checked':
        dark = (u % 1 < 0.5) ^ (v % 1 < 0.5)
    else:
        dark = (u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.09
    return np.where(dark, 0.45, 1.0)[..., None]


def _paint(rng: np.random.Generator, canvas: np.ndarray, shape: Shape) -> None:
    color = np.array(COLORS[shape.color]) + rng.uniform(-18, 18, 3)
    radius = float(np.ptp(shape.outline, axis=0).max()) / 2
    texture = _texture(rng, shape.texture, len(canvas), max(4.0, radius / 2))
    fill = color if texture is None else color * texture
    alpha = (shape.alpha / np.float32(255))[..., None]
    canvas += alpha * (fill - canvas)


def _finish(rng: np.random.Generator, canvas: np.ndarray, noise: float) -> np.ndarray:
    canvas += rng.standard_normal(canvas.shape, np.float32) * noise
    return canvas.clip(0, 255).astype(np.uint8)


def render_scene(rng: np.random.Generator, level: Level) -> Scene:
    """Sample a scene of several shapes.

    Args:
        rng (numpy.random.Generator): Source of all randomness.
        level (Level): One of ``LEVELS``.

    Returns:
        Scene: An image of side ``level.scene_size`` in pixels.
    """
    side = level.scene_size
    low, high = level.num_shapes
    wanted = int(rng.integers(low, high + 1))
    shapes: List[Shape] = []
    for _ in range(20 * wanted):
        if len(shapes) == wanted:
            break
        size = str(rng.choice(list(level.radii)))
        radius = side * rng.uniform(*level.radii[size])
        center = rng.uniform(radius, side - radius, 2)
        new = _place(rng, side, level, str(rng.choice(KINDS)), radius, center, size)
        if _hides_too_much(shapes, new):
            continue
        for shape in shapes:
            shape.mask &= ~new.mask
        shapes.append(new)
    canvas = _background(rng, side)
    for shape in shapes:
        _paint(rng, canvas, shape)
    return Scene(_finish(rng, canvas, level.noise), shapes)


def render_icon(rng: np.random.Generator, level: Level, kind: str) -> np.ndarray:
    """Sample an image of one shape, for classification by kind.

    Args:
        rng (numpy.random.Generator): Source of all randomness.
        level (Level): One of ``LEVELS``.
        kind (str): One of ``KINDS``.

    Returns:
        np.ndarray: Shape (side, side, 3), BGR, side ``level.icon_size``. On
        levels with small shapes, one of another kind may lie behind.
    """
    side = level.icon_size
    canvas = _background(rng, side)
    if 'small' in level.radii:
        center = rng.uniform(0, side, 2)
        other = str(rng.choice([k for k in KINDS if k != kind]))
        _paint(
            rng, canvas, _place(rng, side, level, other, side * 0.16, center, 'small')
        )
    radius = side * rng.uniform(*level.icon_radius)
    center = side / 2 + rng.uniform(-1, 1, 2) * (side / 2 - radius)
    _paint(rng, canvas, _place(rng, side, level, kind, radius, center, 'large'))
    return _finish(rng, canvas, level.noise)
