"""Hats, hoods and headsets, as sheets and tubes about a head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.strands import CENTRE
from fakeit.pipelines.synth.wardrobe import AROUND, HEADWEAR, Wardrobe, cloth, reaches

Floats = NDArray[np.float32]


def _dome(radii: Floats, rim_y: float, slope: float, rows: int) -> tuple[Floats, Floats]:
    """Directions (rows, AROUND, 3) from a rim to the crown, and how far the head reaches along them."""
    around = np.linspace(-np.pi, np.pi, AROUND, endpoint=False)
    low = np.full(AROUND, 0.4)
    for _ in range(4):
        directions = np.stack([np.sin(around) * np.cos(low), np.sin(low), np.cos(around) * np.cos(low)], axis=-1)[None]
        far = reaches(radii, directions)[0]
        wanted = rim_y + slope * (CENTRE[2] + far * directions[0, :, 2]) - CENTRE[1]
        low = np.arcsin(np.clip(wanted / far, -0.6, 0.95))
    share = np.linspace(0, 1, rows)[:, None] ** 0.85
    high = low[None] + (np.pi / 2 - 0.02 - low[None]) * share
    directions = np.stack([np.sin(around) * np.cos(high), np.sin(high), np.cos(around) * np.cos(high)], axis=2)
    return directions, reaches(radii, directions)


def hat(wardrobe: Wardrobe, anchors: Floats, radii: Floats, random: np.random.Generator) -> None:
    """A beanie, a cap (worn either way), a brimmed hat or a helmet: its rim above the brows."""
    brows = float(anchors[17:27, 1].mean())
    rim_y, slope = brows + random.uniform(0.9, 3.2), 0.0
    slope = random.uniform(0.12, 0.3)  # lower at the nape
    rim_y -= slope * 8.5
    kind, colour = random.random(), cloth(random)
    directions, far = _dome(radii, rim_y, slope, 14)
    share = np.linspace(0, 1, 14)[:, None]
    gloss = 0.05
    if kind < 0.35:  # knitted
        thick = 0.45 + random.uniform(0, 3.5) * share**3
        main = wardrobe.look(colour, HEADWEAR, random.uniform(0.05, 0.15), 0.0, random.uniform(1.0, 2.2))
    elif kind < 0.9:
        thick = 0.4 + random.uniform(0.6, 2.6) * np.sin(np.pi * np.clip(share, 0, 0.75))
        main = wardrobe.look(colour, HEADWEAR, random.uniform(0.03, 0.1), gloss)
    else:  # a helmet
        thick, gloss = 1.2 + 1.2 * np.sin(np.pi * share / 2), 1.2
        main = wardrobe.look(colour, HEADWEAR, 0.01, gloss)
    shell = CENTRE + directions * (far + thick)[..., None]
    shell[0] = CENTRE + directions[0] * (far[0] + 0.15)[:, None]
    wardrobe.sheet(shell, main, both=True, closed=True)
    wardrobe.rim = np.array([rim_y - 0.2, slope], np.float32)
    second = colour if random.random() < 0.6 else cloth(random)
    if kind < 0.35 and random.random() < 0.75:  # folded up
        high = random.uniform(2.5, 4.5)
        band = wardrobe.look(second * 0.9, HEADWEAR, 0.1, 0.0, random.uniform(1.0, 2.2))
        lift = np.array([0, 0.35, 0.85, 1.0, 0.9, 0.1])[:, None, None]
        rise = np.linspace(0, 1, 6)[:, None, None]
        fold = shell[0] + (shell[0] - CENTRE) * [0.06, 0, 0.06] * lift + np.array([0, high, 0]) * (rise - 0.06)
        wardrobe.sheet(fold, band, closed=True)
    elif kind < 0.7:  # a cap's peak: two thirds wear it in front
        reach, drop = random.uniform(4.5, 7.5), random.uniform(0.3, 1.8)
        peak = wardrobe.look(second * 0.85, HEADWEAR, 0.05, gloss)
        middle = AROUND // 2 if random.random() < 0.75 else 0
        columns = (middle + np.arange(-9, 10)) % AROUND
        edge = shell[0, columns]
        bow = np.cos(np.linspace(-1, 1, 19) * np.pi / 2) ** 0.6
        out = np.array([0.0, -drop, 1.0 if middle else -1.0]) * (bow * reach)[:, None] * [1, 1, 1]
        out[:, 1] = -drop * bow - 0.9 * np.linspace(-1, 1, 19) ** 2 * bow
        grid = np.stack([edge + out * part for part in (1.0, 0.66, 0.33, 0.0)])
        wardrobe.sheet(grid if middle else grid, peak, both=True)
    elif kind < 0.9:  # a brim all around
        wide, drop = random.uniform(3, 7), random.uniform(-0.6, 1.2)
        brim = wardrobe.look(second * 0.9, HEADWEAR, 0.06, gloss)
        outward = shell[0] - CENTRE
        outward[:, 1] = 0
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        wave = 0.4 * np.sin(np.arange(AROUND) / AROUND * 4 * np.pi + random.uniform(0, 6))
        grid = np.stack(
            [
                shell[0] + outward * wide * part - np.array([0, 1, 0]) * ((drop + wave) * part**2)[:, None]
                for part in (1.0, 0.6, 0.3, 0.0)
            ]
        )
        wardrobe.sheet(grid, brim, both=True, closed=True)


def hood(wardrobe: Wardrobe, anchors: Floats, radii: Floats, random: np.random.Generator) -> None:
    """A headscarf or hood: all around the face but the face."""
    loose = random.random() < 0.4
    thick = random.uniform(1.2, 2.5) if loose else random.uniform(0.35, 0.8)
    wide, top, bottom = (
        random.uniform(6.2, 7.4),
        anchors[17:27, 1].mean() + random.uniform(1.2, 4),
        anchors[8, 1] - random.uniform(0.2, 1),
    )
    look = wardrobe.look(cloth(random), HEADWEAR, random.uniform(0.04, 0.12), 0.0)
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    high = (top + bottom) / 2 + (top - bottom) / 2 * np.sin(turn)
    front = (
        np.stack(
            [
                wide * np.cos(turn),
                high,
                np.full(AROUND, 7.0) - 3.5 * np.cos(turn) ** 2 - 2.0 * (np.sin(turn) < 0) * np.sin(turn) ** 2,
            ],
            axis=1,
        )
        - CENTRE
    )
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    back = np.stack([0.35 * np.cos(turn), 0.25 * np.sin(turn) - 0.45, np.full(AROUND, -1.0)], axis=1)
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    share = np.linspace(0, 1, 18)[:, None, None] ** 0.9
    out = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    directions = front * (1 - share) + back * share + out * np.sin(np.pi * share) * 0.9
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    folds = 0.12 * np.sin(5 * turn[None] + 3 * share[..., 0]) + 0.08 * np.sin(11 * turn[None])
    rise = thick * np.minimum(1.0, 0.25 + 4 * share[..., 0]) + folds * min(1.5, 1 + thick)
    far = reaches(radii, directions)
    wardrobe.sheet((CENTRE + directions * (far + rise)[..., None])[::-1][:, ::-1], look, both=True, closed=True)
    wardrobe.hides_hair = True


def headset(wardrobe: Wardrobe, anchors: Floats, radii: Floats, random: np.random.Generator) -> None:
    """A bow over the head and a cup on each ear."""
    look = wardrobe.look(random.random(3) ** 2 * 0.25 + 0.01, HEADWEAR, 0.02, 0.8)
    arc = np.linspace(-np.pi / 2 - 0.1, np.pi / 2 + 0.1, 24)
    directions = np.stack([np.sin(arc), np.cos(arc), np.full(24, -0.05)], axis=1)[None]
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    line = (CENTRE + directions * (reaches(radii, directions) + 0.9)[..., None])[0]
    wardrobe.tube(line.astype(np.float32), random.uniform(0.4, 0.8), look)
    high, around = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, 9), np.linspace(0, 2 * np.pi, 16, endpoint=False), indexing="ij"
    )
    ball = np.stack(
        [1.2 * np.cos(high) * np.sin(around), 3.2 * np.sin(high), 2.6 * np.cos(high) * np.cos(around)], axis=2
    )
    for side, ear in ((-1, 0), (1, 16)):
        middle = np.array([anchors[ear, 0] + side * 1.0, anchors[ear, 1] + 0.3, anchors[ear, 2] - 1.8])
        wardrobe.sheet(ball + middle, look, closed=True)
