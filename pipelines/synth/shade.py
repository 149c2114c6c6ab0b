"""Pixels of the head: light by vertex, then one compiled pass that interpolates, looks up paint and noise, names parts.

The reflectance is Lambert's with a wrapped edge (large lamps wrap, and skin's red light spreads further than its blue:
a soft terminator without a blur), plus highlights from `gloss`; skin, hair, eyes, teeth, gums and cloth differ in
albedo and gloss. Everything is linear RGB.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.camera import Camera
from fakeit.pipelines.synth.coat import GRAIN, Coat
from fakeit.pipelines.synth.gloss import highlights
from fakeit.pipelines.synth.lids import set_in_lids
from fakeit.pipelines.synth.light import Lighting, shadow_map
from fakeit.pipelines.synth.noise import STEP, byte_tiles
from fakeit.pipelines.synth.texture import Texture, arrays, eye_at, iris_at, skin_at

Floats = NDArray[np.float32]
_STEP = np.float32(STEP)
_PORES = 34.0  # texels of grain a centimetre: what is finer than a pixel averages out
WORN = 16  # materials from here on are rows of `Worn.looks`


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _texel(tile: Any, x: float, y: float) -> float:
    return tile[int(math.floor(y)) & 511, int(math.floor(x)) & 511] * _STEP  # type: ignore[no-any-return]


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def _exp(x: float) -> float:
    """Near e^x for a texture's small x."""
    return 1 + x + 0.5 * x * x


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def ambient(harmonics: Any, x: float, y: float, z: float, a: int) -> float:
    """Linear light of channel `a` on a surface whose unit normal is (x, y, z), of nine harmonics (9, 3)."""
    return (
        harmonics[0, a] + harmonics[1, a] * y + harmonics[2, a] * z + harmonics[3, a] * x
        + harmonics[4, a] * x * y + harmonics[5, a] * y * z + harmonics[6, a] * (3 * z * z - 1)
        + harmonics[7, a] * x * z + harmonics[8, a] * (x * x - y * y)
    )  # fmt: skip


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def light_vertices(  # noqa: PLR0913 - a kernel takes plain arrays
    normals: Any, positions: Any, opened: Any, harmonics: Any, lamps: Any, lamp_colours: Any, wrap: Any, shadow: Any,
    to_shadow: Any, softness: float, light: Any,
) -> None:  # fmt: skip
    """Light that reaches each vertex, (V, 5): RGB, how much of it sees the first lamp, and how open it lies. The mesh
    is as fine as the shadow map, so little is lost against lighting every pixel."""
    bleed = np.array([0.28, 0.1, 0.05], np.float32)  # how far skin spreads red, green, blue round an edge
    penumbra = np.array([0.7, 0.25, 0.1], np.float32)
    for vertex in range(normals.shape[0]):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        lit = 1.0
        if shadow.shape[0] > 1 and x * lamps[0, 0] + y * lamps[0, 1] + z * lamps[0, 2] + wrap[0] > -0.3:
            at = positions[vertex]
            lit = unshadowed(shadow, to_shadow, at[0], at[1], at[2], softness)
        light[vertex, 3], light[vertex, 4] = lit, opened[vertex]
        dim = (1 - 0.3 * max(0.0, -y)) * opened[vertex]  # light that comes from below is weaker
        for a in range(3):
            light[vertex, a] = max(0.0, ambient(harmonics, x, y, z, a)) * dim
        for lamp in range(lamps.shape[0]):
            facing = x * lamps[lamp, 0] + y * lamps[lamp, 1] + z * lamps[lamp, 2]
            for a in range(3):
                edge = wrap[lamp] + bleed[a]
                strength = max(0.0, (facing + edge) / (1 + edge))
                if lamp == 0:
                    strength *= lit * (1 + penumbra[a] * (1 - lit))
                light[vertex, a] += strength * lamp_colours[lamp, a]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _shade(  # noqa: PLR0913 - a kernel takes plain arrays
    owner: Any, second: Any, third: Any, triangles: Any, material: Any, canonical: Any, normals: Any, light: Any,
    hairiness: Any, layers: Any, brushed: Any, noise: Any, colours: Any, amounts: Any, offset: Any, gaze: Any,
    eyes: Any, painted: bool, skin_shine: Any, eye_shine: Any, lamp: Any, view: Any, worn: Any, uv: Any, skin: Any,
    table: Any, iris: Any, image: Any, classes: Any,
) -> None:  # fmt: skip
    height, width = owner.shape
    textured = skin.shape[0] > 1
    reach, side = 13.0, layers.shape[0]
    texels = side / (2 * reach)
    rough = 4 * amounts[0]  # how much pores break the gloss
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
            broad, tight, mirror = 0.0, 0.0, 0.0  # gloss: skin's two lobes, an eye's
            bend_x, bend_y = 0.0, 0.0  # of the normal
            part = 1
            if kind <= 1:  # face and scalp
                around = cx + 0.6 * (10 - cz) * max(-1.0, min(1.0, 0.25 * cx))  # grows towards both ears
                sx, sy = around * 34 + offset[0], cy * 34 + offset[1]
                grain = _texel(noise[0], sx, sy)
                patch = _texel(noise[2], sx, sy)
                cloth, on_layers, collar = False, False, 0.0
                if cy < -8.0:  # what is worn about the shoulders
                    aside = abs(cx)
                    dip = amounts[13] * max(0.0, 1 - aside / 5) if cz > 0 else 0.0
                    collar = amounts[12] + 0.35 * max(0.0, aside - 5) - dip
                    cloth = cy < collar
                hair = u * hairiness[i] + v * hairiness[j] + w * hairiness[k]
                if cloth:
                    row = 11 if amounts[14] > 0 and math.sin(6.283 * amounts[14] * cy) > 0.3 else 10
                    hem = 0.7 if cy > collar - 0.5 else 1.0
                    drape = _texel(noise[1], (cx + 0.4 * abs(cx)) * 9 + offset[1], cy * 4 + offset[0])
                    fold = _exp(0.09 * drape + 0.05 * patch + 0.03 * grain) * hem
                    part = 15
                    for a in range(3):
                        albedo[a] = colours[row, a] * fold
                elif hair > 0.999:  # nothing of the skin is seen
                    lock = _exp(0.2 * _texel(noise[3], around * 55 + offset[1], cy * 24 + offset[0]))
                    part, broad = 13, 0.3 * lock
                    for a in range(3):
                        albedo[a] = 0.55 * colours[4, a] * lock
                else:
                    blotch = _texel(noise[1], sx, sy)
                    strand = _texel(noise[3], around * 55 + offset[1], cy * 24 + offset[0])
                    wrinkle = 0.0
                    if cy > 5.5 and amounts[11] > 0:
                        wrinkle = _texel(noise[3], cy * 30 + offset[0], cx * 10 + offset[1])
                    texture = _exp(
                        amounts[0] * grain + amounts[1] * blotch + amounts[2] * patch + amounts[11] * wrinkle
                    )
                    for a in range(3):
                        albedo[a] = colours[0, a] * texture
                    hairs = 0.0
                    if textured and (cy > -16 or amounts[12] < -30):  # below a collar there is cloth alone
                        hairs = skin_at(albedo, skin, table, uv[t], u, v, w, cy > 2.5 and cz > 1.5)
                        chest = min(1.0, max(0.0, (-10.5 - cy) / 3))  # the photographs are of heads
                        for a in range(3):
                            albedo[a] += chest * (colours[12, a] - albedo[a])
                            albedo[a] *= _exp(0.4 * (amounts[0] * grain + amounts[2] * patch))
                    zone = 0.55 + 0.9 / (1 + 0.08 * cx * cx) * (1.0 if cy > -1.5 else 0.6)  # forehead, nose, chin: oily
                    broad = amounts[7] * max(0.0, 1 + rough * grain)
                    tight = amounts[7] * zone * max(0.0, 0.75 + 1.5 * rough * grain)
                    bend_x = 0.35 * amounts[0] * (grain - _texel(noise[0], sx + 1, sy))
                    bend_y = 0.35 * amounts[0] * (grain - _texel(noise[0], sx, sy + 1))
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
                        beard = min(1.0, max(0.0, layer[2] * (0.6 + 0.12 * grain)))
                        for a in range(3):
                            value = albedo[a] * (1 - socket) + colours[5, a] * socket
                            value = value * (1 - lips) + colours[1, a] * lips * (1 + 0.1 * strand)
                            value = value * (1 - brow) + colours[2, a] * brow
                            value = value * (1 - beard) + colours[3, a] * beard
                            albedo[a] = value * (1 - 0.85 * layer[8])
                        dull = (1 - 0.8 * beard) * (1 - 0.7 * brow) * (1 - layer[8])
                        broad, tight = broad * dull, (tight + lips * amounts[8] * (0.8 + 0.4 * strand)) * dull
                        if layer[5] > 0.5:
                            part = 2
                        if layer[1] > 0.25:
                            part = 6 if cx < 0 else 5
                        if layer[0] > 0.5:
                            part = 10 if cy > -3.5 else 11
                        if layer[2] > 0.3:
                            part = 14
                    if hairs > 0:  # brows of a photographed skin
                        brow = min(1.0, hairs * (0.5 + 0.5 * amounts[6]))
                        for a in range(3):
                            albedo[a] = albedo[a] * (1 - brow) + colours[2, a] * brow
                        broad *= 1 - brow
                        tight *= 1 - brow
                        if hairs > 0.07:
                            part = 6 if cx < 0 else 5
                    if hair > 0:
                        hair = min(1.0, max(0.0, hair * 1.9 - 0.45 + 0.3 * strand))  # it thins out at the hairline
                        lock = _exp(0.2 * strand)
                        for a in range(3):
                            albedo[a] = albedo[a] * (1 - hair) + 0.55 * colours[4, a] * lock * hair
                        broad, tight = broad * (1 - hair) + 0.3 * hair * lock, tight * (1 - hair)
                    if (cx > 7.3 or cx < -7.3) and -2.5 < cy < 5.5 and -2.0 < cz < 4.5:
                        part = 8 if cx < 0 else 7
                    if cy < -8.3 and cz < 9.0 and cy + 0.35 * cz < -5.3:
                        part = 12
                    if hair > 0.5:
                        part = 13
                if painted and on_layers and layer[7] > 0.5:
                    part, broad, tight = 9, 0.0, 0.0
                    row = 8 if cy > -3.35 else 9
                    for a in range(3):
                        albedo[a] = colours[row, a] * (0.8 if row == 8 else 0.2)
                if painted and on_layers and layer[6] > 0.5:
                    e = 0 if cx < 0 else 1
                    out_x, out_y = (cx - eyes[e, 0]) / eyes[e, 3], (cy - eyes[e, 1]) / eyes[e, 3]
                    away = math.sqrt((out_x - gaze[0]) ** 2 + (out_y - gaze[1]) ** 2) * eyes[e, 3]
                    part, broad, tight, mirror = 4 - e, 0.0, 0.0, 1.0
                    bend_x, bend_y = 0.6 * out_x, 0.6 * out_y
                    eye_at(albedo, colours, away, amounts[9] * eyes[e, 3], amounts[10] * eyes[e, 3])
            elif kind == 4 or kind == 5:  # an eyeball: the iris lies where the gaze leaves it
                e = kind - 4
                dx, dy, dz = cx - eyes[e, 0], cy - eyes[e, 1], cz - eyes[e, 2]
                cosine = (dx * gaze[0] + dy * gaze[1] + dz * gaze[2]) / (math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6)
                away = math.acos(min(1.0, max(-1.0, cosine)))
                eye_at(albedo, colours, away, amounts[9], amounts[10])
                if textured:
                    iris_at(albedo, iris, away, amounts[9], amounts[10], dx, dy, dz, gaze)
                part, mirror = 4 - e, 1.0
            elif kind >= 16:  # something worn: colour, weave, class and gloss are its own
                row = kind - 16
                grain = _texel(noise[0], cx * 18, cy * 18)
                blotch = _texel(noise[1], cx * 18, cy * 18)
                rib = math.sin(cx * worn[row, 6]) if worn[row, 6] > 0 else 0.0
                fold = _exp(worn[row, 4] * (grain + blotch) + 0.35 * rib * (worn[row, 6] > 0))
                for a in range(3):
                    albedo[a] = worn[row, a] * fold
                part, broad, tight = int(worn[row, 3]), worn[row, 5], worn[row, 5]
                bend_x, bend_y = 0.025 * grain, 0.025 * blotch  # no highlight is smooth on a weave
            else:  # teeth, gums and tongue: the deeper in the mouth, the darker
                row = 8 if kind == 2 else 9
                deep = min(1.0, max(0.08, (cz - 6.0) / 3.8))
                for a in range(3):
                    albedo[a] = colours[row, a] * deep * math.sqrt(deep)
                part, tight = 9, 0.8 * deep
            for a in range(3):
                image[py, px, a] = albedo[a] * (u * light[i, a] + v * light[j, a] + w * light[k, a])
            if broad + tight + mirror > 0.01:
                length = 0.0
                for a in range(3):
                    n[a] = u * normals[i, a] + v * normals[j, a] + w * normals[k, a]
                    length += n[a] * n[a]
                length = 1.0 / (math.sqrt(length) + 1e-9)
                lit = u * light[i, 3] + v * light[j, 3] + w * light[k, 3]
                opened = u * light[i, 4] + v * light[j, 4] + w * light[k, 4]
                # the normal as if the viewer were straight ahead: half of how far aside he is
                nx = n[0] * length + bend_x + 0.5 * (px - view[0]) * view[2]
                ny = n[1] * length + bend_y - 0.5 * (py - view[1]) * view[2]
                last = skin_shine.shape[1] - 1
                gx = int(min(last, max(0.0, (nx + 1) * 0.5 * last + 0.5)))
                gy = int(min(last, max(0.0, (ny + 1) * 0.5 * last + 0.5)))
                for a in range(3):
                    shine = broad * (skin_shine[0, gy, gx, a] + lit * skin_shine[0, gy, gx, 3] * lamp[a])
                    shine += tight * (skin_shine[1, gy, gx, a] + lit * skin_shine[1, gy, gx, 3] * lamp[a])
                    shine += mirror * (eye_shine[gy, gx, a] + lit * eye_shine[gy, gx, 3] * lamp[a])
                    image[py, px, a] += shine * opened
            classes[py, px] = part


@numba.njit(cache=True, fastmath=True, error_model="numpy", inline="always")
def unshadowed(shadow: Any, matrix: Any, x: float, y: float, z: float, softness: float) -> float:
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
    material: NDArray[np.int32], canonical: Floats, normals: Floats, positions: Floats, opened: Floats, hairy: Floats,
    layers: Floats, coat: Coat, eyes: Floats, painted: bool, worn: Floats, lighting: Lighting, camera: Camera,
    image: Floats, classes: NDArray[np.uint8], casting: NDArray[np.int32], uv: Floats | None = None,
    texture: Texture | None = None,
) -> Floats:  # fmt: skip
    """Colours and classes of the covered pixels, in place.

    Args:
        owner: (H, W), with second and third as `raster.rasterise` gives them.
        second: barycentric weight.
        third: barycentric weight.
        triangles: (T, 3).
        material: (T,), `WORN` and up: rows of `worn`.
        canonical: (V, 3) cm.
        normals: (V, 3) camera frame.
        positions: (V, 3) camera frame, cm.
        opened: (V,) `light.openness`.
        hairy: (V,) how much of a vertex is hair.
        layers: `paint.paint`.
        coat: the look.
        eyes: (2, 4), canonical frame.
        painted: eyes and mouth are layers.
        worn: (W, 7) looks of what is worn: RGB, class, strength of the weave, gloss, ribs a cm × 2π (0: none).
        lighting: surroundings and lamps.
        camera: that sees it, for highlights.
        image: (H, W, 3) float32 linear RGB, written where covered.
        classes: (H, W) uint8, written where covered; of Face Synthetics' eyes, brows and ears the lower number lies at
            the viewer's right (4, 6, 8 have its points 36 to 41, 17 to 21 and the jaw's 0).
        casting: (C, 3) the triangles that cast shadows.
        uv: (T, 3, 2) texels of `texture`, for heads that have them.
        texture: the skin's picture.

    Returns:
        (V, 5) what `light_vertices` says.
    """
    at, skin, table, iris = arrays(uv, texture)
    shadow, matrix = np.zeros((1, 1), np.float32), np.zeros((3, 4), np.float32)
    if lighting.shadows:
        shadow, matrix = shadow_map(positions, casting, lighting.directions[0])
    painted_on = layers.reshape(-1, layers.shape[2]) @ np.ones(layers.shape[2], np.float32)
    brushed = cv2.dilate((painted_on > 0).astype(np.uint8).reshape(layers.shape[:2]), np.ones((3, 3), np.uint8))
    light = np.empty((len(normals), 5), np.float32)
    light_vertices(
        normals, positions, opened, lighting.harmonics, lighting.directions, lighting.colours, lighting.wrap, shadow,
        matrix, np.float32(lighting.softness), light,
    )  # fmt: skip
    skin_shine, eye_shine = highlights(lighting)
    amounts = coat.amounts.copy()
    amounts[GRAIN] *= min(1.0, 1.2 * camera.scale / _PORES)
    view = np.array([*camera.centre, 1 / camera.focal], np.float32)
    _shade(
        owner, second, third, triangles, material, canonical, normals, light, hairy, layers, brushed, byte_tiles(),
        coat.colours, amounts, coat.offset, coat.gaze, eyes, painted, skin_shine, eye_shine, lighting.colours[0],
        view, worn, at, skin, table, iris, image, classes,
    )  # fmt: skip
    set_in_lids(image, classes, camera, lighting)
    return light
