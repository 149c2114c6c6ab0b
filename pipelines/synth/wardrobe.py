"""How worn things become meshes: sheets and tubes with looks, laid over a head by how far out it reaches."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.head import grid_triangles
from fakeit.pipelines.synth.shade import WORN

Floats = NDArray[np.float32]
CLOTHING, GLASSES, HEADWEAR, FACEWEAR = 15, 16, 17, 18
AROUND = 48  # columns of what goes all around a head


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


class Wardrobe:
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
            faces = grid_triangles(index)
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


def smooth_radii(radii: Floats) -> Floats:
    """`strands.head_radii` as stiff cloth lies over them."""
    wide = np.concatenate([radii[:, -6:], radii, radii[:, :6]], axis=1)
    return np.asarray(np.maximum(cv2.GaussianBlur(wide, (0, 0), 1.4), wide - 0.4)[:, 6:-6], np.float32)


def reaches(radii: Floats, directions: Floats) -> Floats:
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


def cloth(random: np.random.Generator) -> Floats:
    """A colour (3,) of cloth, linear RGB: mostly dark, seldom bright."""
    light = random.random() ** 1.7 * 0.6 + 0.015
    hue = random.random(3) + 0.15
    much = random.random() ** 1.3
    return np.asarray(np.clip(light * (1 - much + much * hue / hue.mean()), 0.008, 0.8), np.float32)
