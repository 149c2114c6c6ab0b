"""Hair: a shell grown from the scalp, hair behind the head, and strands that fall over the forehead."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.config import HairConfig
from fakeit.pipelines.synth.noise import SIDE, tiles

Floats = NDArray[np.float32]
HAIR_CLASS = 13

# Linear RGB × 255 (before the power of 2.2) and shares: black, dark to light brown, blond, grey, white, red.
_COLOURS = np.array(
    [
        [12, 9, 8], [28, 18, 12], [60, 36, 20], [110, 70, 40], [175, 135, 85], [150, 150, 150], [215, 210, 205],
        [120, 45, 20],
    ]
)  # fmt: skip
_SHARES = [0.24, 0.2, 0.16, 0.12, 0.1, 0.07, 0.05, 0.06]
_STRAND = np.array([[0.0], [0.2], [0.45], [0.75], [1.0]])  # along a fringe's strand, from its root
_SHEEN = (1.3, 2.2, 1.6, 1.0)  # of its pieces: it bends towards the light once


@dataclass(frozen=True)
class Hair:
    """One head of hair.

    Attributes:
        colour: (3,) linear RGB.
        weight: (V,) how much of a vertex is hair, 0 to 1.
        lift: (V,) cm that it stands off the head.
        long: whether it falls behind the neck.
        fringe: strands over the forehead.
    """

    colour: Floats
    weight: Floats
    lift: Floats
    long: bool
    fringe: int


def draw_hair(config: HairConfig, canonical: Floats, random: np.random.Generator) -> Hair:
    """Hair for one face: hairline, temples, parting and volume vary. `canonical`: (V, 3), cm."""
    colour = (_COLOURS[random.choice(len(_COLOURS), p=_SHARES)] / 255) ** 2.2 * np.exp(random.normal(0, 0.25))
    x, y, z = canonical[:, 0], canonical[:, 1], canonical[:, 2]
    hairline, temple = random.uniform(7.5, 11.5), random.uniform(6.6, 8.3)
    recess = np.maximum(0, np.abs(x) - random.uniform(3, 6)) * random.uniform(0.6, 2.5)
    top = np.clip((y - hairline + recess) / 0.6, 0, 1) * (y > -2)
    sideburns = (np.abs(x) > temple) & (z < random.uniform(1.5, 4)) & (y > random.uniform(-6, 3.5))
    back = (z < -0.5) & (y > -8)
    weight = np.maximum(top, sideburns | back).astype(np.float32)
    ears = (np.abs(x) > 7.3) & (y < 4.5) & (y > -2.5) & (z < 4) & (z > -1.5)
    if random.random() < 0.6:
        weight *= ~ears
    volume = random.uniform(0.1, 1) if random.random() < 0.5 else random.uniform(0.5, 3.2)
    waves = random.uniform(0.3, 1.5, 2)
    phases = random.uniform(0, 6, 2)
    shape = 0.75 + 0.25 * np.sin(x * waves[0] + phases[0]) * np.cos(z * waves[1] + phases[1])
    if random.random() < config.bald:
        weight = np.zeros_like(weight)
    fallen = bool(weight.any()) and volume > 0.5  # short hair has no strands that reach the forehead
    return Hair(
        colour=colour.astype(np.float32),
        weight=weight,
        lift=(weight * volume * shape).astype(np.float32),
        long=bool(random.random() < config.long and weight.any()),
        fringe=int(random.integers(50, 260)) if random.random() < config.fringe and fallen else 0,
    )


def draw_behind(
    image: Floats, classes: NDArray[np.uint8], hair: Hair, camera: Camera, random: np.random.Generator
) -> None:
    """Paints long hair behind the head, in place. `image`: (H, W, 3) linear; `classes`: (H, W)."""
    size, scale = len(image), camera.scale
    mask = np.zeros((size, size), np.uint8)
    x, y = camera.centre[0], camera.centre[1] - 2 * scale
    wide, high = random.uniform(7.5, 11.5) * scale, random.uniform(10, 20) * scale
    cv2.ellipse(mask, (int(x), int(y)), (int(wide), int(high)), 0, 0, 360, 1, -1)
    down = np.linspace(0, random.uniform(4, 25) * scale, 12)  # the curtain: its sides wave, its ends are uneven
    taper, waves = random.uniform(0.6, 1.25), random.uniform(0, 0.12) * wide
    half = wide * np.linspace(1, taper, 12) + waves * np.sin(
        down / scale * random.uniform(0.3, 1) + random.uniform(0, 6)
    )
    ends = np.linspace(1, -1, 16)[1:-1]
    bottom = np.stack([x + ends * half[-1], y + down[-1] + random.normal(0, 1.2, 14) * scale], axis=1)
    right, left = np.stack([x + half, y + down], axis=1), np.stack([x - half, y + down], axis=1)[::-1]
    cv2.fillPoly(mask, [np.rint(np.concatenate([right, bottom, left])).astype(np.int32)], 1)
    strands = tiles()[3]
    repeat = -(-size // SIDE)
    shade = np.tile(np.exp(0.5 * strands) * np.float32(random.uniform(0.2, 0.7)), (repeat, repeat))[:size, :size]
    inside = mask > 0
    image[inside] = np.minimum(shade[inside][:, None] * hair.colour, 1)
    classes[inside] = HAIR_CLASS


def draw_fringe(
    image: Floats, classes: NDArray[np.uint8], hair: Hair, points: Floats, camera: Camera, brightness: float,
    random: np.random.Generator,
) -> None:  # fmt: skip
    """Strands over the forehead, in place. `points`: (70, 2) pixels; `brightness`: of the lit face."""
    if not hair.fringe:
        return
    up = points[27] - points[8]
    up = up / (np.linalg.norm(up) + 1e-6) * camera.scale
    across = np.array([-up[1], up[0]])
    left, right = points[17], points[26]
    sweep, ragged = random.normal(0, 2.2), random.uniform(0.1, 0.6)
    start, end = sorted(random.uniform(-0.3, 1.3, 2))
    length, parting = random.uniform(2, 6.5), random.uniform(-0.2, 1.2)
    thickness = max(1, round(camera.scale * random.uniform(0.03, 0.09)))
    for _ in range(hair.fringe):
        at = random.uniform(start, end)
        root = left * (1 - at) + right * at + up * random.uniform(4.5, 7)
        bend = (sweep if at > parting else -sweep) + random.normal(0, ragged)
        inner = 1 - abs(2 * (at - start) / (end - start + 1e-6) - 1) ** 3  # shorter towards its sides
        reach = length * (0.45 + 0.55 * inner) + random.normal(0, ragged)
        strand = root - up * reach * _STRAND + across * bend * _STRAND**1.7
        fixed = np.rint(strand * 8).astype(np.int32)
        width = int(random.integers(1, 3)) * thickness
        tone = hair.colour * brightness * np.exp(random.normal(0, 0.35))
        for piece, sheen in enumerate(_SHEEN):
            cv2.polylines(image, [fixed[piece : piece + 2]], False, (tone * sheen).tolist(), width, cv2.LINE_AA, 3)
        cv2.polylines(classes, [fixed], False, HAIR_CLASS, width, cv2.LINE_8, 3)
