"""What people wear, as meshes in the head's frame: hats, hoods, scarves, masks, headsets, frames of glasses.

They are rasterised, lit and shadowed with the head itself, so they turn with it, hide what is behind them and darken
what is below. Each is laid over the head by how far out that reaches (`strands.head_radii`), so it fits any head.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import AccessoryConfig
from fakeit.pipelines.synth.shade import WORN
from fakeit.pipelines.synth.strands import CENTRE

Floats = NDArray[np.float32]
CLOTHING, GLASSES, HEADWEAR, FACEWEAR = 15, 16, 17, 18
_AROUND = 48


@dataclass(frozen=True)
class Worn:
    """Meshes that are worn.

    Attributes:
        vertices: (M, 3) head frame, cm.
        weave: (M, 3) where cloth's pattern is looked up, cm.
        triangles: (T, 3) int32, counter-clockwise from outside.
        material: (T,) int32, `shade.WORN` + row of `looks`.
        looks: (W, 7) as `shade.shade` reads them.
        rim: (2,) y, and slope by z, above which a hat hides hair; None without hat.
        lenses: two outlines (28, 3) of glasses, head frame; empty without.
        tint: (4,) of the lenses: RGB and opacity.
        hides_hair: all of it, under a hood or headscarf.
    """

    vertices: Floats
    weave: Floats
    triangles: NDArray[np.int32]
    material: NDArray[np.int32]
    looks: Floats
    rim: Floats | None
    lenses: tuple[Floats, ...]
    tint: Floats
    hides_hair: bool


class _Wardrobe:
    """Collects meshes and their looks."""

    def __init__(self) -> None:
        self.vertices: list[Floats] = [np.zeros((0, 3), np.float32)]
        self.weave: list[Floats] = [np.zeros((0, 3), np.float32)]
        self.triangles: list[NDArray[np.int32]] = [np.zeros((0, 3), np.int32)]
        self.material: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
        self.looks: list[list[float]] = []
        self.count = 0
        self.rim: Floats | None = None
        self.lenses: tuple[Floats, ...] = ()
        self.tint = np.zeros(4, np.float32)
        self.hides_hair = False

    def look(self, colour: Floats, part: int, weave: float, gloss: float, ribs: float = 0.0) -> int:
        self.looks.append([*np.asarray(colour, float).tolist(), part, weave, gloss, 6.283 * ribs])
        return len(self.looks) - 1

    def sheet(self, grid: Floats, look: int, both: bool = False, closed: bool = False) -> None:
        """A grid of points (R, C, 3): columns run to the right and rows upwards seen from outside."""
        if closed:
            grid = np.concatenate([grid, grid[:, :1]], axis=1)
        for points in (grid, grid[:, ::-1]) if both else (grid,):
            rows, columns = points.shape[:2]
            index = np.arange(rows * columns).reshape(rows, columns) + self.count
            a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
            faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
            step = np.linalg.norm(np.diff(points, axis=1), axis=2).mean()
            rise = np.linalg.norm(np.diff(points, axis=0), axis=2).mean()
            across, up = np.meshgrid(np.arange(columns) * step, np.arange(rows) * rise)
            self.vertices.append(points.reshape(-1, 3).astype(np.float32))
            self.weave.append(np.stack([across, up, 0 * up], axis=2).reshape(-1, 3).astype(np.float32))
            self.triangles.append(faces.astype(np.int32))
            self.material.append(np.full(len(faces), WORN + look, np.int32))
            self.count += rows * columns

    def tube(self, line: Floats, radius: float, look: int, closed: bool = False, sides: int = 5) -> None:
        """A round rod along points (N, 3)."""
        ahead = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0) if closed else np.gradient(line, axis=0)
        ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-6
        aside = np.cross(ahead, [0.31, 0.2, 0.93])
        aside /= np.linalg.norm(aside, axis=1, keepdims=True) + 1e-6
        above = np.cross(aside, ahead)
        turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
        ring = np.cos(turn)[:, None, None] * aside + np.sin(turn)[:, None, None] * above
        grid = (line[None] + radius * ring).transpose(1, 0, 2)
        grid = np.concatenate([grid, grid[:1]], axis=0) if closed else grid
        self.sheet(grid.astype(np.float32), look, closed=True)

    def done(self) -> Worn:
        looks = np.array(self.looks, np.float32) if self.looks else np.zeros((1, 7), np.float32)
        return Worn(
            np.concatenate(self.vertices), np.concatenate(self.weave), np.concatenate(self.triangles),
            np.concatenate(self.material), looks, self.rim, self.lenses, self.tint, self.hides_hair,
        )  # fmt: skip


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
        vertices: (V, 3) of the head with its hair.
        radii: `strands.head_radii` of the head with its hair.
        chance: (6,) numbers that decide which.
        random: the accessories' own stream.
    """
    wardrobe = _Wardrobe()
    smooth = _smooth(radii)
    if chance[0] < config.glasses:
        _glasses(wardrobe, anchors, chance[5] < config.sunglasses, random)
    if chance[1] < config.mask:
        _mask(wardrobe, anchors, smooth, vertices, random)
    if chance[2] < config.hat:
        (_hat if random.random() < 0.78 else _hood)(wardrobe, anchors, smooth, random)
    elif chance[3] < config.headset:
        _headset(wardrobe, anchors, smooth, random)
    if random.random() < config.scarf:
        _scarf(wardrobe, random)
    return wardrobe.done()


def _smooth(radii: Floats) -> Floats:
    wide = np.concatenate([radii[:, -6:], radii, radii[:, :6]], axis=1)
    return np.asarray(np.maximum(cv2.GaussianBlur(wide, (0, 0), 1.4), wide - 0.4)[:, 6:-6], np.float32)


def _reach(radii: Floats, directions: Floats) -> Floats:
    """How far the head reaches along unit vectors (…, 3), cm."""
    rows, columns = radii.shape
    row = (np.arcsin(np.clip(directions[..., 1], -1, 1)) / np.pi + 0.5) * rows - 0.5
    column = (np.arctan2(directions[..., 0], directions[..., 2]) / (2 * np.pi) + 0.5) * columns - 0.5
    wrapped = np.concatenate([radii[:, -2:], radii, radii[:, :2]], axis=1)
    x, y = np.asarray(column + 2, np.float32), np.asarray(row, np.float32)
    shape = x.shape
    found = cv2.remap(
        wrapped, x.reshape(shape[0], -1), y.reshape(shape[0], -1), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
    )
    return np.asarray(found.reshape(shape), np.float32)


def _cloth(random: np.random.Generator) -> Floats:
    light = random.random() ** 1.7 * 0.6 + 0.015
    hue = random.random(3) + 0.15
    much = random.random() ** 1.3
    return np.asarray(np.clip(light * (1 - much + much * hue / hue.mean()), 0.008, 0.8), np.float32)


def _dome(radii: Floats, rim_y: float, slope: float, rows: int) -> tuple[Floats, Floats]:
    """Directions (rows, _AROUND, 3) from a rim to the crown, and how far the head reaches along them."""
    around = np.linspace(-np.pi, np.pi, _AROUND, endpoint=False)
    low = np.full(_AROUND, 0.4)
    for _ in range(4):
        directions = np.stack([np.sin(around) * np.cos(low), np.sin(low), np.cos(around) * np.cos(low)], axis=-1)[None]
        far = _reach(radii, directions)[0]
        wanted = rim_y + slope * (CENTRE[2] + far * directions[0, :, 2]) - CENTRE[1]
        low = np.arcsin(np.clip(wanted / far, -0.6, 0.95))
    share = np.linspace(0, 1, rows)[:, None] ** 0.85
    high = low[None] + (np.pi / 2 - 0.02 - low[None]) * share
    directions = np.stack([np.sin(around) * np.cos(high), np.sin(high), np.cos(around) * np.cos(high)], axis=2)
    return directions, _reach(radii, directions)


def _hat(wardrobe: _Wardrobe, anchors: Floats, radii: Floats, random: np.random.Generator) -> None:
    """A beanie, a cap (worn either way), a brimmed hat or a helmet: its rim above the brows."""
    brows = float(anchors[17:27, 1].mean())
    rim_y, slope = brows + random.uniform(0.9, 3.2), 0.0
    slope = random.uniform(0.12, 0.3)  # lower at the nape
    rim_y -= slope * 8.5
    kind, colour = random.random(), _cloth(random)
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
        thick, gloss = 1.2 + 1.2 * np.sin(np.pi * share / 2), 2.5
        main = wardrobe.look(colour, HEADWEAR, 0.01, gloss)
    shell = CENTRE + directions * (far + thick)[..., None]
    shell[0] = CENTRE + directions[0] * (far[0] + 0.15)[:, None]
    wardrobe.sheet(shell, main, both=True, closed=True)
    wardrobe.rim = np.array([rim_y - 0.2, slope], np.float32)
    second = colour if random.random() < 0.6 else _cloth(random)
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
        middle = _AROUND // 2 if random.random() < 0.75 else 0
        columns = (middle + np.arange(-9, 10)) % _AROUND
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
        wave = 0.4 * np.sin(np.arange(_AROUND) / _AROUND * 4 * np.pi + random.uniform(0, 6))
        grid = np.stack(
            [
                shell[0] + outward * wide * part - np.array([0, 1, 0]) * ((drop + wave) * part**2)[:, None]
                for part in (1.0, 0.6, 0.3, 0.0)
            ]
        )
        wardrobe.sheet(grid, brim, both=True, closed=True)


def _hood(wardrobe: _Wardrobe, anchors: Floats, radii: Floats, random: np.random.Generator) -> None:
    """A headscarf or hood: all around the face but the face."""
    loose = random.random() < 0.4
    thick = random.uniform(1.2, 2.5) if loose else random.uniform(0.35, 0.8)
    wide, top, bottom = (
        random.uniform(6.2, 7.4),
        anchors[17:27, 1].mean() + random.uniform(1.2, 4),
        anchors[8, 1] - random.uniform(0.2, 1),
    )
    look = wardrobe.look(_cloth(random), HEADWEAR, random.uniform(0.04, 0.12), 0.0)
    turn = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    high = (top + bottom) / 2 + (top - bottom) / 2 * np.sin(turn)
    front = (
        np.stack(
            [
                wide * np.cos(turn),
                high,
                np.full(_AROUND, 7.0) - 3.5 * np.cos(turn) ** 2 - 2.0 * (np.sin(turn) < 0) * np.sin(turn) ** 2,
            ],
            axis=1,
        )
        - CENTRE
    )
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    back = np.stack([0.35 * np.cos(turn), 0.25 * np.sin(turn) - 0.45, np.full(_AROUND, -1.0)], axis=1)
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    share = np.linspace(0, 1, 18)[:, None, None] ** 0.9
    out = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    directions = front * (1 - share) + back * share + out * np.sin(np.pi * share) * 0.9
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    folds = 0.12 * np.sin(5 * turn[None] + 3 * share[..., 0]) + 0.08 * np.sin(11 * turn[None])
    rise = thick * np.minimum(1.0, 0.25 + 4 * share[..., 0]) + folds * min(1.5, 1 + thick)
    far = _reach(radii, directions)
    wardrobe.sheet((CENTRE + directions * (far + rise)[..., None])[::-1][:, ::-1], look, both=True, closed=True)
    wardrobe.hides_hair = True


def _scarf(wardrobe: _Wardrobe, random: np.random.Generator) -> None:
    look = wardrobe.look(_cloth(random), CLOTHING, random.uniform(0.08, 0.2), 0.0, random.choice([0.0, 1.2]))
    turn = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
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


def _mask(wardrobe: _Wardrobe, anchors: Floats, radii: Floats, vertices: Floats, random: np.random.Generator) -> None:
    """A cloth or surgical mask from the nose to below the chin, ear to ear."""
    surgical = random.random() < 0.5
    colour = np.array([0.55, 0.68, 0.75]) * random.uniform(0.7, 1.1) if surgical else _cloth(random)
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
    far = np.maximum(cv2.GaussianBlur(np.maximum(far, _reach(radii, towards) - 0.6), (0, 0), 1.0), far)
    pleats = 0.08 * np.sin(share * 18) if surgical else 0 * share
    wardrobe.sheet(CENTRE + towards * (far + 0.3 + pleats)[..., None], look, both=False)
    strap = wardrobe.look(np.full(3, 0.7), FACEWEAR, 0.0, 0.0)
    for ear, column in ((0, 0), (16, -1)):
        for row in (0, -1):
            start = (CENTRE + towards[row, column] * (far[row, column] + 0.3)).astype(np.float32)
            end = anchors[ear] + np.array([0, 0.5, -2.0], np.float32)
            wardrobe.tube(np.linspace(start, end, 5), 0.08, strap)


def _headset(wardrobe: _Wardrobe, anchors: Floats, radii: Floats, random: np.random.Generator) -> None:
    """A bow over the head and a cup on each ear."""
    look = wardrobe.look(random.random(3) ** 2 * 0.25 + 0.01, HEADWEAR, 0.02, 0.8)
    arc = np.linspace(-np.pi / 2 - 0.1, np.pi / 2 + 0.1, 24)
    directions = np.stack([np.sin(arc), np.cos(arc), np.full(24, -0.05)], axis=1)[None]
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    line = (CENTRE + directions * (_reach(radii, directions) + 0.9)[..., None])[0]
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


def _glasses(wardrobe: _Wardrobe, anchors: Floats, dark: bool, random: np.random.Generator) -> None:
    """Two super-elliptic frames before the eyes, a bridge, temples back to the ears; lenses for later."""
    colour = random.random(3) ** 2 * (0.08 if random.random() < 0.75 else 0.5) + 0.006
    if random.random() < 0.2:
        colour = np.array([0.5, 0.42, 0.3]) * random.uniform(0.4, 1.0)  # metal
    wide, high, power = random.uniform(2.1, 2.9), random.uniform(1.5, 2.3), random.uniform(0.5, 1)
    thick = random.uniform(0.05, 0.2)
    look = wardrobe.look(colour, GLASSES, 0.0, 1.6)
    rimless = random.random() < 0.12
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
        if not rimless:
            wardrobe.tube(lens, thick, look, closed=True)
    wardrobe.tube(np.linspace(lenses[0][0], lenses[1][14], 6) + np.array([0, 0.25, 0.1], np.float32), thick, look)
    for lens, outer, ear in ((lenses[0], 14, 0), (lenses[1], 0, 16)):
        out = np.array([np.sign(anchors[ear, 0]) * 0.5, 0, 0], np.float32)
        tip = anchors[ear] + out + np.array([0, 0.9, -2.0], np.float32)
        hinge = lens[outer] + 0.5 * out + np.array([0, 0.4, 0], np.float32)
        wardrobe.tube(np.linspace(hinge, tip, 8), max(thick, 0.12), look)
    wardrobe.lenses = tuple(lenses)
