"""Sampling and rendering of scenes.

Shapes: H W height and width in pixels.
"""

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """Make a regular polygon, or a star if the inner radius is below 1."""
    angles = np.arange(2 * corners) * np.pi / corners - np.pi / 2
    is_inner = np.arange(2 * corners) % 2 == 1
    radii = np.where(is_inner, inner, 1.0)
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


# Outlines of about radius 1 around the origin, in image coordinates (y points
# down).
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

# BGR, the order of channels in OpenCV.
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
    """Difficulty of the scenes.

    Attributes:
        scene_size (int): Side of the scenes in pixels.
        icon_size (int): Side of the icons, images of one shape, in pixels.
        icon_radius (tuple[float, float]): Smallest and largest radius of the
            shape in an icon, relative to the image's side.
        num_shapes (tuple[int, int]): Smallest and largest number of shapes in
            a scene.
        radii (dict[str, tuple[float, float]]): Smallest and largest radius of
            the shapes in a scene by name of the size, relative to the image's
            side.
        textures (tuple[str, ...]): Textures of the shapes.
        tilt (float): Largest rotation of a shape in degrees.
        noise (float): Standard deviation of the noise, in grey levels.
    """

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
        scene_size=128,
        icon_size=32,
        icon_radius=(0.36, 0.45),
        num_shapes=(1, 3),
        radii=dict(large=(0.16, 0.25)),
        textures=('plain',),
        tilt=15.0,
        noise=4.0,
    ),
    'standard': Level(
        scene_size=256,
        icon_size=64,
        icon_radius=(0.22, 0.42),
        num_shapes=(3, 8),
        radii=dict(small=(0.055, 0.085), large=(0.11, 0.19)),
        textures=TEXTURES,
        tilt=180.0,
        noise=12.0,
    ),
}

# Smallest share of a shape that stays visible behind others.
_MIN_VISIBLE = 0.6
# Opacity (0 to 255) above which a pixel belongs to a shape.
_OPAQUE = 127
# OpenCV reads coordinates as integers with so many fractional bits.
_FRACTION_BITS = 4
# Placements that are tried for each shape of a scene.
_MAX_TRIALS = 20
# Largest deviation of a colour from its nominal value, in grey levels.
_COLOR_JITTER = 18
# Radius of the second shape in an icon, relative to the image's side.
_DISTRACTOR_RADIUS = 0.16


@dataclass
class Shape:
    """One object of a scene.

    Attributes:
        kind (str): One of ``KINDS``.
        color (str): One of ``COLORS``.
        texture (str): One of ``TEXTURES``.
        size (str): Name of the size, ``'small'`` or ``'large'``.
        center (np.ndarray): Centre (x, y) in pixels.
        outline (np.ndarray): Corners (x, y) in pixels, shape (corners, 2).
        alpha (np.ndarray): Opacity, (H, W), 0 to 255.
        mask (np.ndarray): Visible pixels, (H, W), boolean.
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
    """An image of several shapes.

    Attributes:
        image (np.ndarray): The image, (H, W, 3), BGR.
        shapes (list[Shape]): The shapes from back to front.
    """

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
    """Draw rotation, colour and texture of a shape at a given place."""
    angle = np.deg2rad(rng.uniform(-level.tilt, level.tilt))
    rotation = np.array(
        [(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))]
    )
    outline = OUTLINES[kind] @ rotation * radius + center
    alpha = np.zeros((side, side), np.uint8)
    # Fractional coordinates give smooth borders.
    fixed_point = np.round(outline * 2**_FRACTION_BITS).astype(np.int32)
    cv2.fillPoly(alpha, [fixed_point], 255, cv2.LINE_AA, _FRACTION_BITS)
    return Shape(
        kind=kind,
        color=rng.choice(list(COLORS)),
        texture=rng.choice(level.textures),
        size=size,
        center=center,
        outline=outline,
        alpha=alpha,
        mask=alpha > _OPAQUE,
    )


def _hides_too_much(shapes: List[Shape], new: Shape) -> bool:
    """Check whether a new shape hides too much of an earlier one."""
    for shape in shapes:
        visible = (shape.mask & ~new.mask).sum()
        if visible < _MIN_VISIBLE * (shape.alpha > _OPAQUE).sum():
            return True
    return False


def _background(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw a background of smooth, muted colours."""
    brightness = rng.uniform(50, 150, (3, 3, 1))
    tint = rng.uniform(-_COLOR_JITTER, _COLOR_JITTER, (3, 3, 3))
    # (3, 3, 3) -> (H, W, 3)
    return cv2.resize(
        (brightness + tint).astype(np.float32),
        (side, side),
        interpolation=cv2.INTER_LINEAR,
    )


def _texture(
    rng: np.random.Generator, name: str, side: int, period: float
) -> Optional[np.ndarray]:
    """Draw the brightness factors (H, W, 1) of a texture; None for a plain one."""
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


def _draw_shape(rng: np.random.Generator, canvas: np.ndarray, shape: Shape) -> None:
    """Blend a shape into an image."""
    jitter = rng.uniform(-_COLOR_JITTER, _COLOR_JITTER, 3)
    color = np.array(COLORS[shape.color]) + jitter
    radius = float(np.ptp(shape.outline, axis=0).max()) / 2
    texture = _texture(rng, shape.texture, len(canvas), max(4.0, radius / 2))
    fill = color if texture is None else color * texture
    # (H, W) -> (H, W, 1)
    alpha = (shape.alpha / np.float32(255))[..., None]
    canvas += alpha * (fill - canvas)


def _finish(rng: np.random.Generator, canvas: np.ndarray, noise: float) -> np.ndarray:
    """Add noise and convert to uint8."""
    canvas += rng.standard_normal(canvas.shape, np.float32) * noise
    return canvas.clip(0, 255).astype(np.uint8)


def render_scene(rng: np.random.Generator, level: Level) -> Scene:
    """Sample and render a scene of several shapes.

    Args:
        rng (numpy.random.Generator): Source of all randomness.
        level (Level): One of ``LEVELS``.

    Returns:
        Scene: A scene with a side of ``level.scene_size`` pixels.
    """
    side = level.scene_size
    low, high = level.num_shapes
    num_shapes = int(rng.integers(low, high + 1))
    shapes: List[Shape] = []
    for _ in range(_MAX_TRIALS * num_shapes):
        if len(shapes) == num_shapes:
            break
        size = str(rng.choice(list(level.radii)))
        radius = side * rng.uniform(*level.radii[size])
        center = rng.uniform(radius, side - radius, 2)
        kind = str(rng.choice(KINDS))
        new = _place(rng, side, level, kind, radius, center, size)
        if _hides_too_much(shapes, new):
            continue
        for shape in shapes:
            shape.mask &= ~new.mask
        shapes.append(new)
    canvas = _background(rng, side)
    for shape in shapes:
        _draw_shape(rng, canvas, shape)
    return Scene(_finish(rng, canvas, level.noise), shapes)


def render_icon(rng: np.random.Generator, level: Level, kind: str) -> np.ndarray:
    """Sample and render an icon: an image of one shape, for classification.

    Args:
        rng (numpy.random.Generator): Source of all randomness.
        level (Level): One of ``LEVELS``.
        kind (str): One of ``KINDS``.

    Returns:
        np.ndarray: The image (H, W, 3), BGR, with a side of
        ``level.icon_size`` pixels. On levels with small shapes, a small shape
        of another kind is drawn behind it.
    """
    side = level.icon_size
    canvas = _background(rng, side)
    if 'small' in level.radii:
        center = rng.uniform(0, side, 2)
        other = str(rng.choice([name for name in KINDS if name != kind]))
        radius = side * _DISTRACTOR_RADIUS
        distractor = _place(rng, side, level, other, radius, center, 'small')
        _draw_shape(rng, canvas, distractor)
    radius = side * rng.uniform(*level.icon_radius)
    center = side / 2 + rng.uniform(-1, 1, 2) * (side / 2 - radius)
    shape = _place(rng, side, level, kind, radius, center, 'large')
    _draw_shape(rng, canvas, shape)
    return _finish(rng, canvas, level.noise)
