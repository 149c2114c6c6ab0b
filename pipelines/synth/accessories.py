"""What people wear and hold before their faces: glasses, hats, masks, headsets, hands and other occluders.

Each is placed in three dimensions on the head (so that it turns with it) and drawn as polygons in the picture, with
its class in the segmentation.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.config import AccessoryConfig
from fakeit.pipelines.synth.hand import draw_hand
from fakeit.pipelines.synth.noise import SIDE, tiles

Floats = NDArray[np.float32]
Classes = NDArray[np.uint8]
SKIN_CLASS, CLOTHING, GLASSES, HEADWEAR, FACEWEAR = 1, 15, 16, 17, 18
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


def _outline(
    image: Floats, classes: Classes, points: Floats, colour: Floats, part: int, width: int, closed: bool
) -> None:
    fixed = [np.rint(points * (1 << _BITS)).astype(np.int32)]
    cv2.polylines(image, fixed, closed, np.asarray(colour, float).tolist(), width, cv2.LINE_AA, _BITS)
    cv2.polylines(classes, fixed, closed, part, width, cv2.LINE_8, _BITS)


def draw_accessories(
    image: Floats,
    classes: Classes,
    config: AccessoryConfig,
    anchors: Floats,
    camera: Camera,
    skin: Floats,
    brightness: float,
    random: np.random.Generator,
) -> NDArray[np.bool_] | None:
    """Draws what this face wears, in place.

    Args:
        image: (H, W, 3) linear RGB.
        classes: (H, W) segmentation.
        config: how often each thing is worn.
        anchors: (68, 3) landmarks, head frame, cm.
        camera: projects them.
        skin: (3,) the face's own colour, for hands.
        brightness: of the lit face, so that things are lit alike.
        random: the accessories' own stream.

    Returns:
        (H, W) where a hand is, which the segmentation has as skin; None without one.
    """
    chance = random.random(6)
    if chance[0] < config.glasses:
        _glasses(image, classes, anchors, camera, chance[5] < config.sunglasses, brightness, random)
    if chance[1] < config.mask:
        _mask(image, classes, anchors, camera, brightness, random)
    if chance[2] < config.hat:
        _hat(image, classes, anchors, camera, brightness, random)
    if chance[3] < config.headset:
        _headset(image, classes, anchors, camera, random)
    if chance[4] < config.occluder:
        return _occluder(image, classes, camera.pixels(anchors), camera, skin * brightness, brightness, random)
    return None


def _glasses(
    image: Floats, classes: Classes, anchors: Floats, camera: Camera, dark: bool, brightness: float,
    random: np.random.Generator,
) -> None:  # fmt: skip
    """Two super-elliptic lenses before the eyes, a bridge, temples back to the ears, tint and glints."""
    colour = random.random(3) * (0.15 if random.random() < 0.7 else 1.0) * brightness
    wide, high, power = random.uniform(1.9, 2.9), random.uniform(1.3, 2.3), random.uniform(0.5, 1)
    width = max(1, round(random.uniform(0.1, 0.45) * camera.scale))
    rimless = random.random() < 0.12
    tint = random.random(3) * 0.1 if dark else np.full(3, 0.8) * brightness
    opacity = random.uniform(0.6, 0.97) if dark else random.uniform(0, 0.22)
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    round_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * wide
    round_y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * high
    front = float(anchors[27, 2] + 0.5)
    lenses = []
    for side, corners in ((-1, (36, 39)), (1, (42, 45))):
        middle = anchors[list(corners)].mean(axis=0)
        x, y = middle[0] + side * 0.1 + round_x, middle[1] - 0.25 + round_y
        z = front - 0.05 * np.maximum(0, np.abs(x) - 1.5) ** 2
        lenses.append(camera.pixels(np.stack([x, y, z], axis=1).astype(np.float32)))
    for lens in lenses:
        if opacity > 0.02:
            _fill(image, classes, lens, tint, GLASSES, opacity)
        if random.random() < 0.25:  # a window's reflection
            glint = lens[[3, 6, 9]] * 0.5 + lens.mean(axis=0) * 0.5
            _fill(image, classes, glint, np.full(3, 0.9), GLASSES, random.uniform(0.1, 0.45))
        if not rimless:
            _outline(image, classes, lens, colour, GLASSES, width, True)
    _outline(image, classes, np.stack([lenses[0][0], lenses[1][14]]), colour, GLASSES, width, False)
    yaw = camera.angles[0]
    for lens, outer, ear, hidden in ((lenses[0], 14, 0, yaw > 8), (lenses[1], 0, 16, yaw < -8)):
        if not hidden:
            tip = camera.pixels(anchors[ear : ear + 1] + np.array([[0, 0.6, -1.5]], np.float32))[0]
            _outline(image, classes, np.stack([lens[outer], tip]), colour, GLASSES, width, False)


def _mask(
    image: Floats, classes: Classes, anchors: Floats, camera: Camera, brightness: float, random: np.random.Generator
) -> None:
    """A cloth or surgical mask from the nose's bridge to the chin."""
    top = anchors[28] * (1 - (drop := random.uniform(0, 0.8))) + anchors[30] * drop
    rim = [anchors[2], anchors[4], anchors[6], anchors[8], anchors[10], anchors[12], anchors[14], top]
    outline = np.array(rim, np.float32)
    outline[:, 2] += 0.3
    outline[1:6, 1] -= 0.4
    colour = (np.array([0.75, 0.82, 0.88]) if random.random() < 0.5 else random.random(3)) * brightness
    pixels = camera.pixels(outline)
    _fill(image, classes, pixels, colour, FACEWEAR)
    for share in (0.35, 0.6):  # folds
        fold = camera.pixels((outline[[0, 7, 6]] * (1 - share) + outline[[2, 3, 4]] * share).astype(np.float32))
        _outline(image, classes, fold, colour * 0.8, FACEWEAR, 1, False)


def _hat(
    image: Floats, classes: Classes, anchors: Floats, camera: Camera, brightness: float, random: np.random.Generator
) -> None:
    """A cap, beanie or brimmed hat: a band around the forehead and a crown, lit from above."""
    rim_y = float(anchors[17:27, 1].mean() + random.uniform(0.2, 2.0))
    wide, deep, tall = random.uniform(8.8, 10.4), random.uniform(9.6, 11.4), random.uniform(5, 9)
    colour = random.random(3) ** 2 * brightness
    around = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rings = []
    for level in np.linspace(0, 1, 6):
        shrink = np.sqrt(max(0.02, 1 - level**2.2))
        tilt = 0.16 * np.cos(around) * deep * shrink
        circle = [wide * shrink * np.sin(around), rim_y + tall * level + tilt, deep * shrink * np.cos(around) + 1.0]
        rings.append(camera.pixels(np.stack(circle, axis=1).astype(np.float32)))
    crown = cv2.convexHull(np.concatenate(rings))[:, 0]
    _fill(image, classes, crown, colour, HEADWEAR)
    _rounded(image, crown, random)
    if random.random() < 0.4:  # knitted, or a band
        for ring in rings[: int(random.integers(1, 5))]:
            _outline(image, classes, ring[:10], colour * 0.6, HEADWEAR, max(1, round(0.2 * camera.scale)), False)
    if random.random() < 0.6:
        reach = random.uniform(3, 7)
        arc = np.linspace(-1.2, 1.2, 16)
        inner = np.stack([wide * np.sin(arc), rim_y + 0.16 * deep * np.cos(arc), deep * np.cos(arc) + 1.0], axis=1)
        outer = inner + np.stack([np.sin(arc) * 1.5, np.full(16, -0.8), reach * np.cos(arc)], axis=1)
        brim = np.concatenate([inner, outer[::-1]]).astype(np.float32)
        _fill(image, classes, camera.pixels(brim), colour * 0.6, HEADWEAR)


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


def _headset(image: Floats, classes: Classes, anchors: Floats, camera: Camera, random: np.random.Generator) -> None:
    """A bow over the head and a cup on the ear that is seen."""
    colour = random.random(3) * 0.2
    ear = anchors[16 if camera.angles[0] < 0 else 0] + np.array([0, 0.5, -2.5], np.float32)
    arc = np.linspace(-np.pi / 2, np.pi / 2, 20)
    high = float(anchors[19, 1]) + 6.5
    bow = np.stack([9.3 * np.sin(arc), ear[1] + (high - ear[1]) * np.cos(arc), np.full(20, ear[2])], axis=1)
    width = max(2, round(0.9 * camera.scale))
    _outline(image, classes, camera.pixels(bow.astype(np.float32)), colour, HEADWEAR, width, False)
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    cup = np.stack([np.full(24, ear[0] * 1.1), ear[1] + 3 * np.sin(turn), ear[2] + 2.5 * np.cos(turn)], axis=1)
    _fill(image, classes, camera.pixels(cup.astype(np.float32)), colour * 1.5, HEADWEAR)


def _occluder(
    image: Floats, classes: Classes, points: Floats, camera: Camera, skin: Floats, brightness: float,
    random: np.random.Generator,
) -> NDArray[np.bool_] | None:  # fmt: skip
    """A hand, a stick (microphone, pen, straw) or a blob somewhere before the face; (H, W) where the hand is."""
    size, kind = len(image), random.random()
    at = points[random.integers(0, 68)]
    if kind < 0.45:
        hand = draw_hand(image, at, camera.scale, skin, random)
        classes[hand] = SKIN_CLASS
        return hand
    colour = random.random(3) * brightness
    if kind < 0.7:
        start = np.rint(at).astype(int).tolist()
        end = np.rint(at + random.normal(0, 0.3, 2) * size + [0, size * 0.5]).astype(int).tolist()
        width = max(1, round(random.uniform(0.4, 2.5) * camera.scale))
        for share, shade in _ROUND:
            cv2.line(image, start, end, (colour * shade).tolist(), max(1, round(width * share)), cv2.LINE_AA)
        cv2.line(classes, start, end, FACEWEAR, width, cv2.LINE_8)
        return None
    axes = (random.uniform(0.05, 0.2, 2) * size).astype(int).tolist()
    turn = random.uniform(0, 180)
    centre = np.rint(at).astype(int).tolist()
    cv2.ellipse(image, centre, axes, turn, 0, 360, colour.tolist(), -1, cv2.LINE_AA)
    cv2.ellipse(classes, centre, axes, turn, 0, 360, FACEWEAR, -1, cv2.LINE_8)
    _rounded(image, cv2.ellipse2Poly(centre, axes, round(turn), 0, 360, 10).astype(np.float32), random)
    return None


def draw_clothes(image: Floats, classes: Classes, camera: Camera, colour: Floats, random: np.random.Generator) -> None:
    """Shoulders wider than the head's mesh has them, in place, before it is drawn; `colour`: of the cloth, lit."""
    size, scale, (x, _) = len(image), camera.scale, camera.centre
    collar = camera.centre[1] + random.uniform(11, 14) * scale
    across = np.linspace(-1, 1, 17)
    shoulders = np.stack(
        [x + across * random.uniform(15, 23) * scale, collar + 7 * scale * np.abs(across) ** 3], axis=1
    )
    floor = max(size * 1.3, collar + 8 * scale)
    outline = np.concatenate([shoulders, [[shoulders[-1, 0], floor], [shoulders[0, 0], floor]]])
    _fill(image, classes, outline.astype(np.float32), colour, CLOTHING)
