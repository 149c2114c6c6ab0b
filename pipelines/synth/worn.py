"""What people wear, as meshes in the head's frame: headwear, scarves, masks, frames of glasses.

They are rasterised, lit and shadowed with the head itself, so they turn with it, hide what is behind them and darken
what is below. Each is laid over the head by how far out that reaches (`strands.head_radii`), so it fits any head.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import AccessoryConfig
from fakeit.pipelines.synth.headwear import hat, headset, hood
from fakeit.pipelines.synth.strands import CENTRE, head_radii
from fakeit.pipelines.synth.wardrobe import (
    AROUND,
    CLOTHING,
    FACEWEAR,
    GLASSES,
    Wardrobe,
    Worn,
    cloth,
    reaches,
    smooth_radii,
)

Floats = NDArray[np.float32]
_LENS_EDGE = np.array([0.2, 0.22, 0.21])  # of glasses without a frame: cut glass, which shows its edge


def draw_worn(
    config: AccessoryConfig,
    anchors: Floats,
    vertices: Floats,
    radii: Floats,
    chance: NDArray[np.float64],
    random: np.random.Generator,
) -> Worn:
    """What one face wears.

    Args:
        config: how often each thing is worn.
        anchors: (68, 3) landmarks, head frame, cm.
        vertices: (V, 3) of the head without its hair.
        radii: `strands.head_radii` of the head with its hair.
        chance: (6,) numbers that decide which.
        random: the accessories' own stream.
    """
    wardrobe = Wardrobe()
    smooth = smooth_radii(radii)
    if chance[0] < config.glasses:
        _glasses(wardrobe, anchors, chance[5] < config.sunglasses, random)
    if chance[1] < config.mask:
        face = vertices[vertices[:, 1] > anchors[8, 1] - 1]  # hair lies over it, shoulders are far away
        _mask(wardrobe, anchors, smooth_radii(head_radii(face)), vertices, random)
    if chance[2] < config.hat:
        (hat if random.random() < 0.78 else hood)(wardrobe, anchors, smooth, random)
    elif chance[3] < config.headset:
        headset(wardrobe, anchors, smooth, random)
    if random.random() < config.scarf:
        _scarf(wardrobe, random)
    return wardrobe.done()


def _scarf(wardrobe: Wardrobe, random: np.random.Generator) -> None:
    look = wardrobe.look(cloth(random), CLOTHING, random.uniform(0.08, 0.2), 0.0, random.choice([0.0, 1.2]))
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    ring = 6.8 + 0.4 * np.sin(3 * turn + random.uniform(0, 6))
    fat, low = random.uniform(1.4, 2.4), random.uniform(-14.0, -12.5)
    around = np.linspace(-np.pi / 2, 1.5 * np.pi, 12)
    rows = []
    for angle in around:
        folded = fat * (1 + 0.12 * np.sin(4 * angle + 2 * turn))
        radius = ring + folded * np.cos(angle)
        rows.append(
            np.stack(
                [radius * np.sin(turn), low + 1.3 * folded * np.sin(angle) + 0 * turn, radius * np.cos(turn) - 1.5],
                axis=1,
            )
        )
    wardrobe.sheet(np.stack(rows), look, closed=True)


def _mask(wardrobe: Wardrobe, anchors: Floats, radii: Floats, vertices: Floats, random: np.random.Generator) -> None:
    """A cloth or surgical mask from the nose to below the chin, ear to ear."""
    surgical = random.random() < 0.5
    colour = np.array([0.55, 0.68, 0.75]) * random.uniform(0.7, 1.1) if surgical else cloth(random)
    look = wardrobe.look(colour, FACEWEAR, 0.03 if surgical else 0.1, 0.0)
    drop = random.uniform(0.3, 0.9)
    top = anchors[28] * (1 - drop) + anchors[30] * drop
    across = np.linspace(-1, 1, 25)
    aside = across * 6.9
    high = top[1] - 3.2 * np.abs(across) ** 1.5
    low = anchors[8, 1] - 0.6 + 4.6 * np.abs(across) ** 2.2
    share = np.linspace(0, 1, 12)[:, None]
    y = low + (high - low) * share
    deep = 9.5 - 7.5 * np.abs(across) ** 2.0
    towards = np.stack([np.broadcast_to(aside, y.shape), y, np.broadcast_to(deep, y.shape)], axis=2) - CENTRE
    towards /= np.linalg.norm(towards, axis=2, keepdims=True)
    front = vertices[(vertices[:, 2] > 1.0) & (vertices[:, 1] < 6)][::3] - CENTRE  # over nose and chin
    along = towards.reshape(-1, 3).astype(np.float32) @ front.T
    near = along > 0.988 * np.linalg.norm(front, axis=1)
    far = np.where(near, along, 0.0).max(axis=1).reshape(y.shape).astype(np.float32)
    far = np.maximum(cv2.GaussianBlur(np.maximum(far, reaches(radii, towards) - 0.6), (0, 0), 1.0), far)
    pleats = 0.08 * np.sin(share * 18) if surgical else 0 * share
    wardrobe.sheet(CENTRE + towards * (far + 0.3 + pleats)[..., None], look, both=False)
    strap = wardrobe.look(np.full(3, 0.7), FACEWEAR, 0.0, 0.0)
    for ear, column in ((0, 0), (16, -1)):
        for row in (0, -1):
            start = (CENTRE + towards[row, column] * (far[row, column] + 0.3)).astype(np.float32)
            end = anchors[ear] + np.array([0, 0.5, -2.0], np.float32)
            wardrobe.tube(np.linspace(start, end, 5), 0.08, strap)


def _glasses(wardrobe: Wardrobe, anchors: Floats, dark: bool, random: np.random.Generator) -> None:
    """Two super-elliptic frames before the eyes, a bridge, temples back to the ears; lenses for later."""
    colour = random.random(3) ** 2 * (0.08 if random.random() < 0.75 else 0.5) + 0.006
    if random.random() < 0.2:
        colour = np.array([0.5, 0.42, 0.3]) * random.uniform(0.4, 1.0)  # metal
    wide, high, power = random.uniform(2.1, 2.9), random.uniform(1.5, 2.3), random.uniform(0.5, 1)
    thick = random.uniform(0.05, 0.2)
    look = wardrobe.look(colour, GLASSES, 0.0, 1.6)
    around, width = look, thick
    if random.random() < 0.12:  # rimless
        around, width = wardrobe.look(_LENS_EDGE, GLASSES, 0.0, 1.6), 0.04
    tint = random.random(3) * 0.04 if dark else np.full(3, 0.3)
    wardrobe.tint = np.array([*tint, random.uniform(0.75, 0.97) if dark else random.uniform(0, 0.06)], np.float32)
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    round_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * wide
    round_y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * high
    front = float(max(anchors[27, 2] + 0.4, anchors[[19, 24], 2].max() + 0.5))
    lenses = []
    for side, corners in ((-1, (36, 39)), (1, (42, 45))):
        middle = anchors[list(corners)].mean(axis=0)
        x, y = middle[0] + side * 0.15 + round_x, middle[1] - 0.3 + round_y
        z = front - 0.045 * np.maximum(0, np.abs(x) - 1.5) ** 2 + 0.06 * (y - middle[1])
        lens = np.stack([x, y, z], axis=1).astype(np.float32)
        lenses.append(lens)
        wardrobe.tube(lens, width, around, closed=True)
    wardrobe.tube(np.linspace(lenses[0][0], lenses[1][14], 6) + np.array([0, 0.25, 0.1], np.float32), thick, look)
    for lens, outer, ear in ((lenses[0], 14, 0), (lenses[1], 0, 16)):
        out = np.array([np.sign(anchors[ear, 0]) * 0.5, 0, 0], np.float32)
        tip = anchors[ear] + out + np.array([0, 0.9, -2.0], np.float32)
        hinge = lens[outer] + 0.5 * out + np.array([0, 0.4, 0], np.float32)
        wardrobe.tube(np.linspace(hinge, tip, 8), max(thick, 0.12), look)
    wardrobe.lenses = tuple(lenses)
