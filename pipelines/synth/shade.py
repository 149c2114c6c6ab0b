"""Pixels of the head: light by vertex, then one compiled pass that interpolates, looks up paint and noise, names parts.

The reflectance is Lambert's with a wrapped edge for large lamps, plus a Blinn highlight; skin, hair, eyes, teeth and
gums differ in albedo and gloss. Everything is linear RGB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import ClothesConfig, SynthesisConfig
from fakeit.pipelines.synth.hair import Hair
from fakeit.pipelines.synth.light import Lighting, shadow_map
from fakeit.pipelines.synth.noise import tiles
from fakeit.pipelines.synth.texture import Texture, arrays, iris_at, skin_at

Floats = NDArray[np.float32]

# Skin from light to dark, ×255 before the power of 2.2; evenly spread over the tones of all people.
_TONES = np.array([[250, 222, 205], [235, 195, 170], [215, 165, 135], [180, 125, 92], [135, 88, 62], [85, 54, 40]])
_IRISES = np.array([[0.05, 0.025, 0.012], [0.12, 0.06, 0.03], [0.16, 0.2, 0.28], [0.12, 0.2, 0.12], [0.2, 0.22, 0.24]])

# Rows of `Coat.colours` and places in `Coat.amounts`, as the kernel below reads them.
SKIN, LIP, BROW, _BEARD, _HAIR, _SOCKET, _IRIS, _SCLERA, _TEETH, _GUMS, CLOTH, _STRIPE = range(12)
_GRAIN, _BLOTCH, _PATCH, _BLUSH, LIPA, _SOCKETA, _BROWA, _GLOSS, _SHINE, _IRISR, _PUPILR, _WRINKLE = range(12)
_COLLAR, _DIP, _STRIPES = range(12, 15)


@dataclass(frozen=True)
class Coat:
    """The look of one face: `colours` (12, 3) linear RGB, `amounts` (15,), `offset` (2,) into the noise tiles, and the
    `gaze` (3,) that the irises follow, head frame."""

    colours: Floats
    amounts: Floats
    offset: NDArray[np.int64]
    gaze: Floats
    tone: float


def draw_coat(
    config: SynthesisConfig, hair: Hair, gaze: Floats, random: np.random.Generator, clothes: np.random.Generator,
    tone: float | None = None,
) -> Coat:  # fmt: skip
    """Skin of any tone (or of `tone`, 0 light to 1 dark), lips, brows, eyes (all from `random`) and what is worn about
    the shoulders (from `clothes`)."""
    drawn = random.random()
    tone = drawn if tone is None else tone
    place = tone * (len(_TONES) - 1)
    base = min(int(place), len(_TONES) - 2)
    skin = (_TONES[base] + (place - base) * (_TONES[base + 1] - _TONES[base])) / 255
    skin = skin**2.2 * np.exp(random.normal(0, 0.06, 3))
    painted = random.random() < config.skin.makeup
    lip = skin * [random.uniform(0.75, 1.05), random.uniform(0.4, 0.8), random.uniform(0.45, 0.85)]
    if painted and random.random() < 0.7:
        lip = np.array([random.uniform(0.25, 0.7), random.uniform(0.02, 0.15), random.uniform(0.03, 0.2)])
    socket = random.random(3) * 0.3 if painted else skin * random.uniform(0.3, 0.8)
    brow = hair.colour * random.uniform(0.4, 1.1)
    iris = _IRISES[random.choice(5, p=[0.4, 0.25, 0.15, 0.1, 0.1])] * np.exp(random.normal(0, 0.2))
    sclera = np.array([0.7, 0.64, 0.6]) * random.uniform(0.6, 1.1)
    teeth, gums = np.array([0.75, 0.68, 0.55]) * random.uniform(0.35, 1.0), np.array([0.3, 0.07, 0.07])
    texture = random.uniform(*config.skin.texture)
    radius = random.uniform(0.42, 0.5)
    amounts = [
        0.05 * texture, 0.06 * texture, 0.07, random.uniform(0, 1), random.uniform(0.5, 1), 0.6,
        random.uniform(0.35, 1.05), 0.12 * random.uniform(0.3, 2), random.uniform(8, 40), radius,
        radius * random.uniform(0.28, 0.6), max(0.0, random.normal(0.02, 0.05)),
        *_draw_clothes(config.clothes, clothes),
    ]  # fmt: skip
    cloth = clothes.random((2, 3)) ** 2 * 0.8
    colours = [skin, lip, brow, brow, hair.colour, socket, iris, sclera, teeth, gums * random.uniform(0.4, 1.2), *cloth]
    return Coat(
        np.array(colours, np.float32), np.array(amounts, np.float32), random.integers(0, 512, 2), gaze, float(tone)
    )


def _draw_clothes(config: ClothesConfig, random: np.random.Generator) -> tuple[float, float, float]:
    """How high the collar lies (cm below the eyes; some shoulders are bare), how far it dips in front, and stripes a cm
    (0: none)."""
    collar = -40.0 if random.random() < config.bare else random.uniform(-14.5, -11.0)
    dip = random.uniform(0, 4.5) if random.random() < config.neckline else 0.3
    return collar, dip, random.uniform(0.4, 3) if random.random() < config.stripes else 0.0


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _texel(tile: Any, x: float, y: float) -> float:
    return tile[int(math.floor(y)) & 511, int(math.floor(x)) & 511]


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _exp(x: float) -> float:
    """Near e^x for a texture's small x."""
    return 1 + x + 0.5 * x * x


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _light(  # noqa: PLR0913 - a kernel takes plain arrays
    normals: Any, positions: Any, harmonics: Any, lamps: Any, lamp_colours: Any, wrap: Any, shadow: Any,
    to_shadow: Any, softness: float, light: Any,
) -> None:  # fmt: skip
    """Light that reaches each vertex, (V, 4): RGB, and how much of it sees the first lamp. The mesh is as fine as the
    shadow map, so little is lost against lighting every pixel."""
    for vertex in range(normals.shape[0]):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        lit = 1.0
        if shadow.shape[0] > 1 and x * lamps[0, 0] + y * lamps[0, 1] + z * lamps[0, 2] + wrap[0] > 0:
            at = positions[vertex]
            lit = _unshadowed(shadow, to_shadow, at[0], at[1], at[2], softness)
        light[vertex, 3] = lit
        dim = 1 - 0.3 * max(0.0, -y)  # light that comes from below is weaker
        for a in range(3):
            ambient = (
                harmonics[0, a] + harmonics[1, a] * y + harmonics[2, a] * z + harmonics[3, a] * x
                + harmonics[4, a] * x * y + harmonics[5, a] * y * z + harmonics[6, a] * (3 * z * z - 1)
                + harmonics[7, a] * x * z + harmonics[8, a] * (x * x - y * y)
            )  # fmt: skip
            light[vertex, a] = max(0.0, ambient) * dim
        for lamp in range(lamps.shape[0]):
            facing = x * lamps[lamp, 0] + y * lamps[lamp, 1] + z * lamps[lamp, 2]
            strength = max(0.0, (facing + wrap[lamp]) / (1 + wrap[lamp])) * (lit if lamp == 0 else 1.0)
            for a in range(3):
                light[vertex, a] += strength * lamp_colours[lamp, a]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _shade(  # noqa: PLR0913 - a kernel takes plain arrays
    owner: Any, second: Any, third: Any, triangles: Any, material: Any, canonical: Any, normals: Any, light: Any,
    hairiness: Any, layers: Any, brushed: Any, noise: Any, colours: Any, amounts: Any, offset: Any, gaze: Any,
    eyes: Any, painted: bool, halfway: Any, lamp_colours: Any, uv: Any, skin: Any, table: Any, iris: Any,
    image: Any, classes: Any,
) -> None:  # fmt: skip
    height, width = owner.shape
    textured = skin.shape[0] > 1
    reach, side = 13.0, layers.shape[0]
    texels = side / (2 * reach)
    layer = np.zeros(9, np.float32)
    albedo = np.zeros(3, np.float32)
    n = np.zeros(3, np.float32)
    for py in range(height):
        for px in range(width):
            t = owner[py, px]
            if t < 0:
                continue
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            v, w = second[py, px], third[py, px]
            u = 1 - v - w
            cx = u * canonical[i, 0] + v * canonical[j, 0] + w * canonical[k, 0]
            cy = u * canonical[i, 1] + v * canonical[j, 1] + w * canonical[k, 1]
            cz = u * canonical[i, 2] + v * canonical[j, 2] + w * canonical[k, 2]
            kind = material[t]
            gloss, sharpness = 0.0, amounts[8]
            part = 1
            if kind <= 1:  # face and scalp
                sx, sy = (cx + 0.6 * cz) * 34 + offset[0], cy * 34 + offset[1]
                grain = _texel(noise[0], sx, sy)
                blotch = _texel(noise[1], sx, sy)
                patch = _texel(noise[2], sx, sy)
                strand = _texel(noise[3], cx * 55 + cz * 40 + offset[1], cy * 24 + offset[0])
                wrinkle = _texel(noise[3], cy * 30 + offset[0], cx * 10 + offset[1]) if cy > 5.5 else 0.0
                texture = _exp(amounts[0] * grain + amounts[1] * blotch + amounts[2] * patch + amounts[11] * wrinkle)
                hairs = 0.0
                for a in range(3):
                    albedo[a] = colours[0, a] * texture
                if textured and (cy > -16 or amounts[12] < -30):  # below a collar there is cloth alone
                    hairs = skin_at(albedo, skin, table, uv[t], u, v, w, cy > 2.5 and cz > 1.5)
                    for a in range(3):
                        albedo[a] *= _exp(0.4 * (amounts[0] * grain + amounts[2] * patch))
                gloss = amounts[7]
                lx, ly = (cx + reach) * texels, (reach - cy) * texels
                x0, y0 = int(lx), int(ly)
                on_layers = cz > 1.5 and 0 <= x0 < side - 1 and 0 <= y0 < side - 1 and brushed[y0, x0]
                if on_layers:
                    fx, fy = lx - x0, ly - y0
                    for c in range(9):
                        layer[c] = (1 - fy) * ((1 - fx) * layers[y0, x0, c] + fx * layers[y0, x0 + 1, c]) + fy * (
                            (1 - fx) * layers[y0 + 1, x0, c] + fx * layers[y0 + 1, x0 + 1, c]
                        )
                    albedo[1] *= 1 - 0.28 * amounts[3] * layer[3]
                    albedo[2] *= 1 - 0.28 * amounts[3] * layer[3]
                    lips = layer[0] * amounts[4]
                    socket = layer[4] * amounts[5]
                    brow = min(1.0, max(0.0, layer[1] * amounts[6] * (1 + 0.5 * strand)))
                    beard = min(1.0, max(0.0, layer[2] * (0.75 + 0.45 * grain + 0.25 * strand)))
                    for a in range(3):
                        value = albedo[a] * (1 - socket) + colours[5, a] * socket
                        value = value * (1 - lips) + colours[1, a] * lips
                        value = value * (1 - brow) + colours[2, a] * brow
                        value = value * (1 - beard) + colours[3, a] * beard
                        albedo[a] = value * (1 - 0.85 * layer[8])
                    gloss *= 1 - 0.7 * beard
                    if layer[5] > 0.5:
                        part = 2
                    if layer[1] > 0.25:
                        part = 5 if cx < 0 else 6
                    if layer[0] > 0.5:
                        part = 10 if cy > -3.5 else 11
                    if layer[2] > 0.3:
                        part = 14
                if hairs > 0:  # brows of a photographed skin
                    brow = min(1.0, hairs * (0.5 + 0.5 * amounts[6]))
                    for a in range(3):
                        albedo[a] = albedo[a] * (1 - brow) + colours[2, a] * brow
                    gloss *= 1 - brow
                    if hairs > 0.12:
                        part = 5 if cx < 0 else 6
                hair = u * hairiness[i] + v * hairiness[j] + w * hairiness[k]
                if hair > 0:
                    hair = min(1.0, max(0.0, hair * 1.5 + (0.25 * strand if hair > 0.02 else 0.0) - 0.1))
                    lock = _exp(0.45 * strand)
                    for a in range(3):
                        albedo[a] = albedo[a] * (1 - hair) + colours[4, a] * lock * hair
                    gloss = gloss * (1 - hair) + 0.05 * hair * lock
                if (cx > 7.3 or cx < -7.3) and -2.5 < cy < 5.5 and -2.0 < cz < 4.5:
                    part = 7 if cx < 0 else 8
                if cy < -8.3 and cz < 9.0 and cy + 0.35 * cz < -5.3:
                    part = 12
                if hair > 0.5:
                    part = 13
                if cy < -8.0:  # what is worn about the shoulders
                    aside = abs(cx)
                    dip = amounts[13] * max(0.0, 1 - aside / 5) if cz > 0 else 0.0
                    collar = amounts[12] + 0.35 * max(0.0, aside - 5) - dip
                    if cy < collar:
                        row = 11 if amounts[14] > 0 and math.sin(6.283 * amounts[14] * cy) > 0.3 else 10
                        hem = 0.7 if cy > collar - 0.5 else 1.0
                        fold = _exp(0.08 * blotch + 0.12 * patch + 0.08 * grain) * hem
                        part, gloss = 15, 0.0
                        for a in range(3):
                            albedo[a] = colours[row, a] * fold
                if painted and on_layers and layer[7] > 0.5:
                    part, gloss = 9, 0.0
                    row = 8 if cy > -3.35 else 9
                    for a in range(3):
                        albedo[a] = colours[row, a] * (1.0 if row == 8 else 0.5)
                if painted and on_layers and layer[6] > 0.5:
                    e = 0 if cx < 0 else 1
                    dx = cx - eyes[e, 0] - gaze[0] * eyes[e, 3]
                    dy = cy - eyes[e, 1] - gaze[1] * eyes[e, 3]
                    away = math.sqrt(dx * dx + dy * dy)
                    part, gloss, sharpness = 3 + e, 0.4, 150.0
                    _eye(albedo, colours, away, amounts[9] * eyes[e, 3], amounts[10] * eyes[e, 3])
            elif kind == 4 or kind == 5:  # an eyeball: the iris lies where the gaze leaves it
                e = kind - 4
                dx, dy, dz = cx - eyes[e, 0], cy - eyes[e, 1], cz - eyes[e, 2]
                cosine = (dx * gaze[0] + dy * gaze[1] + dz * gaze[2]) / (math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6)
                away = math.acos(min(1.0, max(-1.0, cosine)))
                _eye(albedo, colours, away, amounts[9], amounts[10])
                if textured:
                    iris_at(albedo, iris, away, amounts[9], amounts[10], dx, dy, dz, gaze)
                lids = min(1.0, max(0.3, 0.75 - 0.9 * dy / eyes[e, 3]))  # lid and lashes shade the upper half
                for a in range(3):
                    albedo[a] *= lids
                part, gloss, sharpness = 3 + e, 0.8, 250.0
            else:  # teeth, gums and tongue: the deeper in the mouth, the darker
                row = 8 if kind == 2 else 9
                deep = min(1.0, max(0.08, (cz - 6.0) / 5.0))
                for a in range(3):
                    albedo[a] = colours[row, a] * deep * math.sqrt(deep)
                part = 9
            for a in range(3):
                image[py, px, a] = albedo[a] * (u * light[i, a] + v * light[j, a] + w * light[k, a])
            if gloss > 0.01:
                length = 0.0
                for a in range(3):
                    n[a] = u * normals[i, a] + v * normals[j, a] + w * normals[k, a]
                    length += n[a] * n[a]
                length = 1.0 / (math.sqrt(length) + 1e-9)
                for lamp in range(halfway.shape[0]):
                    mirror = (n[0] * halfway[lamp, 0] + n[1] * halfway[lamp, 1] + n[2] * halfway[lamp, 2]) * length
                    shine = 1 - 0.25 * sharpness * (1 - mirror)
                    if shine > 0:  # Blinn's lobe, mirror ** sharpness, as a fourth power that ends
                        shine *= gloss * shine * shine * shine
                        if lamp == 0:
                            shine *= u * light[i, 3] + v * light[j, 3] + w * light[k, 3]
                        for a in range(3):
                            image[py, px, a] += shine * lamp_colours[lamp, a]
            classes[py, px] = part


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _eye(albedo: Any, colours: Any, away: float, iris: float, pupil: float) -> None:
    """Sclera, iris with a dark limbus, pupil, by the distance from the iris' centre."""
    for a in range(3):
        if away < pupil:
            albedo[a] = 0.004
        elif away < iris:
            edge = away / iris
            albedo[a] = colours[6, a] * (1 - 0.6 * edge**6)
        else:
            albedo[a] = colours[7, a]


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _unshadowed(shadow: Any, matrix: Any, x: float, y: float, z: float, softness: float) -> float:
    """The share of nine look-ups around the place that see the lamp."""
    sx = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + matrix[0, 3]
    sy = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + matrix[1, 3]
    depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + matrix[2, 3] + 0.35
    side, seen = shadow.shape[0], 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            tx, ty = int(sx + dx * softness + 0.5), int(sy + dy * softness + 0.5)
            if tx < 0 or ty < 0 or tx >= side or ty >= side or shadow[ty, tx] <= depth:
                seen += 1
    return seen / 9.0


def shade(
    owner: NDArray[np.int32], second: Floats, third: Floats, triangles: NDArray[np.int32],
    material: NDArray[np.int32], canonical: Floats, normals: Floats, positions: Floats, hair: Hair, layers: Floats,
    coat: Coat, eyes: Floats, painted: bool, lighting: Lighting, image: Floats, classes: NDArray[np.uint8],
    uv: Floats | None = None, texture: Texture | None = None,
) -> None:  # fmt: skip
    """Colours and classes of the covered pixels, in place.

    Args:
        owner: (H, W), with second and third as `raster.rasterise` gives them.
        second: barycentric weight.
        third: barycentric weight.
        triangles: (T, 3).
        material: (T,).
        canonical: (V, 3) cm.
        normals: (V, 3) camera frame.
        positions: (V, 3) camera frame, cm.
        hair: whose weight and colour.
        layers: `paint.paint`.
        coat: the look.
        eyes: (2, 4), canonical frame.
        painted: eyes and mouth are layers.
        lighting: the lamps.
        image: (H, W, 3) float32 linear RGB, written where covered.
        classes: (H, W) uint8, written where covered.
        uv: (T, 3, 2) texels of `texture`, for heads that have them.
        texture: the skin's picture.
    """
    at, skin, table, iris = arrays(uv, texture)
    shadow, matrix = np.zeros((1, 1), np.float32), np.zeros((3, 4), np.float32)
    if lighting.shadows:
        shadow, matrix = shadow_map(positions, triangles, lighting.directions[0])
    strongest = cv2.reduce(layers.reshape(-1, layers.shape[2]), 1, cv2.REDUCE_MAX).reshape(layers.shape[:2])
    brushed = cv2.dilate((strongest > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    light = np.empty((len(normals), 4), np.float32)
    _light(
        normals, positions, lighting.harmonics, lighting.directions, lighting.colours, lighting.wrap, shadow, matrix,
        np.float32(lighting.softness), light,
    )  # fmt: skip
    halfway = lighting.directions + np.array([0, 0, 1], np.float32)  # between lamp and viewer (Blinn)
    halfway /= np.linalg.norm(halfway, axis=1, keepdims=True) + 1e-6
    _shade(
        owner, second, third, triangles, material, canonical, normals, light, hair.weight, layers, brushed, tiles(),
        coat.colours, coat.amounts, coat.offset, coat.gaze, eyes, painted, halfway, lighting.colours, at, skin, table,
        iris, image, classes,
    )  # fmt: skip
