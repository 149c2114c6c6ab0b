"""What is laid over the picture of a head: lenses, hands and other things before a face."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.hand import draw_hand
from fakeit.pipelines.synth.noise import SIDE, tiles
from fakeit.pipelines.synth.wardrobe import FACEWEAR, GLASSES, Worn

Floats = NDArray[np.float32]
Classes = NDArray[np.uint8]
SKIN_CLASS = 1
_BITS = 3
_ROUND = ((1.0, 0.55), (0.85, 0.8), (0.6, 1.0), (0.3, 1.08))  # widths and tones of a rod lit from the front


def _fill(image: Floats, classes: Classes, points: Floats, colour: Floats, part: int, opacity: float = 1.0) -> None:
    fixed = [np.rint(points * (1 << _BITS)).astype(np.int32)]
    if opacity >= 1:
        cv2.fillPoly(image, fixed, np.asarray(colour, float).tolist(), cv2.LINE_AA, _BITS)
    else:
        x, y, width, height = cv2.boundingRect(np.rint(points).astype(np.int32))
        x0, y0 = max(0, x - 1), max(0, y - 1)
        region = image[y0 : max(0, y + height + 1), x0 : max(0, x + width + 1)]
        if region.size:
            over = region.copy()
            moved = [np.rint((points - [x0, y0]) * (1 << _BITS)).astype(np.int32)]
            cv2.fillPoly(over, moved, np.asarray(colour, float).tolist(), cv2.LINE_AA, _BITS)
            region += (over - region) * opacity
    if opacity > 0.5:
        cv2.fillPoly(classes, fixed, part, cv2.LINE_8, _BITS)


def draw_accessories(
    image: Floats,
    classes: Classes,
    depth: Floats,
    held: bool,
    worn: Worn,
    anchors: Floats,
    camera: Camera,
    skin: Floats,
    brightness: float,
    random: np.random.Generator,
) -> NDArray[np.bool_] | None:
    """Draws lenses, and what stands before the face, in place.

    Args:
        image: (H, W, 3) linear RGB.
        classes: (H, W) segmentation.
        depth: (H, W) of head and what is worn.
        held: whether something stands before the face.
        worn: whose lenses.
        anchors: (68, 3) landmarks, head frame, cm.
        camera: projects them.
        skin: (3,) the face's own colour, lit, for hands.
        brightness: of the lit face, so that things are lit alike.
        random: the accessories' own stream.

    Returns:
        (H, W) where a hand is, which the segmentation has as skin; None without one.
    """
    if worn.lenses:
        _lenses(image, classes, depth, worn, camera, brightness, random)
    if held:
        return _occluder(image, classes, camera.pixels(anchors), camera, skin, brightness, random)
    return None


def _lenses(
    image: Floats, classes: Classes, depth: Floats, worn: Worn, camera: Camera, brightness: float,
    random: np.random.Generator,
) -> None:  # fmt: skip
    """Tint and glints, where the head does not hide them."""
    outlines = [camera.pixels(lens) for lens in worn.lenses]
    low, high = np.floor(np.min(outlines, axis=(0, 1))).astype(int) - 2, np.ceil(np.max(outlines, axis=(0, 1))) + 3
    window = np.s_[max(0, low[1]) : max(0, int(high[1])), max(0, low[0]) : max(0, int(high[0]))]
    before, marked = image[window].copy(), classes[window].copy()
    colour, opacity = worn.tint[:3] * brightness, float(worn.tint[3])
    nearest = max(float(camera.project(camera.to_camera(lens))[:, 2].max()) for lens in worn.lenses)
    for outline in outlines:
        if opacity > 0.02:
            _fill(image, classes, outline, colour, GLASSES, opacity)
        glint = random.random() < (0.5 if opacity > 0.5 else 0.2)
        if glint:  # a window's reflection: a band across the glass
            at, wide = int(random.integers(0, 28)), int(random.integers(2, 6))
            patch = outline[[at, (at + wide) % 28, (at + 14) % 28, (at + 14 + wide) % 28]] * 0.92
            patch = patch + 0.08 * outline.mean(axis=0)
            for inner in (1.0, 0.85, 0.7):  # its edge is soft
                band = patch.mean(axis=0) + inner * (patch - patch.mean(axis=0))
                _fill(image, classes, band, np.full(3, 0.9 * brightness), GLASSES, random.uniform(0.02, 0.08))
    hidden = depth[window] > nearest + 0.3
    image[window][hidden], classes[window][hidden] = before[hidden], marked[hidden]


def _rounded(image: Floats, outline: Floats, random: np.random.Generator) -> None:
    """Shades what lies within an outline as a round thing: dark at its edge, lit from one side, of woven cloth."""
    x0, y0 = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, image.shape[1::-1])
    if x0 >= x1 or y0 >= y1:
        return
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(inside, [np.rint(outline - [x0, y0]).astype(np.int32)], 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    depth = np.sqrt(np.minimum(depth / max(0.6 * float(depth.max()), 1.0), 1.0))
    side = np.linspace(-1, 1, x1 - x0, dtype=np.float32) * np.float32(random.uniform(-0.3, 0.3))
    cloth = tiles()[int(random.integers(0, 3)), : y1 - y0, : x1 - x0] if max(inside.shape) <= SIDE else 0.0
    shade = (0.35 + 0.75 * depth + side) * (1 + np.float32(random.uniform(0.02, 0.15)) * cloth)
    image[y0:y1, x0:x1] *= np.where(inside > 0, shade, 1)[..., None].astype(np.float32)


def _occluder(
    image: Floats, classes: Classes, points: Floats, camera: Camera, skin: Floats, brightness: float,
    random: np.random.Generator,
) -> NDArray[np.bool_] | None:  # fmt: skip
    """A hand, a stick (microphone, pen, straw) or a blob somewhere before the face; (H, W) where the hand is."""
    size, kind = len(image), random.random()
    lower = np.concatenate([np.arange(3, 14), np.arange(31, 36), np.arange(48, 68)])  # hands cover mouths, not eyes
    at = points[int(random.choice(lower)) if random.random() < 0.75 else int(random.integers(0, 68))]
    if kind < 0.6:
        hand = draw_hand(image, at, camera.scale, skin, random)
        classes[hand] = SKIN_CLASS
        return hand
    grey = random.random() ** 1.5 * 0.6
    colour = (grey + (random.random(3) - 0.5) * grey * random.random() * 1.5) * brightness
    if kind < 0.85:
        start = np.rint(at).astype(int).tolist()
        end = np.rint(at + random.normal(0, 0.3, 2) * size + [0, size * 0.5]).astype(int).tolist()
        width = max(1, round(random.uniform(0.4, 2.5) * camera.scale))
        for share, shade in _ROUND:
            cv2.line(image, start, end, (colour * shade).tolist(), max(1, round(width * share)), cv2.LINE_AA)
        cv2.line(classes, start, end, FACEWEAR, width, cv2.LINE_8)
        return None
    axes = (random.uniform(0.05, 0.14, 2) * size).astype(int).tolist()
    turn = random.uniform(0, 180)
    centre = np.rint(at).astype(int).tolist()
    cv2.ellipse(image, centre, axes, turn, 0, 360, colour.tolist(), -1, cv2.LINE_AA)
    cv2.ellipse(classes, centre, axes, turn, 0, 360, FACEWEAR, -1, cv2.LINE_8)
    _rounded(image, cv2.ellipse2Poly(centre, axes, round(turn), 0, 360, 10).astype(np.float32), random)
    return None
