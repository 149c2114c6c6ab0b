"""Linear light → the picture that a telephone would have stored.

Vignette and motion, exposure, a tone curve with contrast and colour, the lens' blur, the sensor's noise (more of it in
shadows, and the more the less light there was), sharpening with its halos, JPEG once or twice on shifted blocks.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import EffectConfig
from fakeit.pipelines.synth.noise import SIDE, tiles

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
_STEPS = 4096  # of the tone curve's table
_PIXEL = 0.3  # sigma of a sensor's pixels: what is drawn has steps at its edges, however small the picture
_WHITE = 6.0  # of its light


def photograph(image: Floats, exposure: float, config: EffectConfig, random: np.random.Generator) -> Picture:
    """(H, W, 3) float32 linear RGB → uint8 sRGB-like. `exposure` multiplies the light; highlights roll off softly."""
    size = len(image)
    chance = random.random(6)
    sigma = float(np.hypot(random.uniform(*config.blur) * size / 512, _PIXEL))
    filmic, contrast = random.random(), random.uniform(*config.contrast)
    if chance[0] < config.motion_blur:
        image = _motion_blur(image, random.uniform(3, 10) * size / 512, random.uniform(0, 180))
    if chance[1] < config.vignette:
        image = image * _vignette(size, random.uniform(0.2, 0.6))[..., None]
    saturation = 0.0 if chance[3] < config.grey else random.uniform(*config.saturation)
    picture = _develop(image, exposure, _curve(filmic, contrast), saturation)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)  # on bytes: a tenth of the time
    deviation = config.noise[0] + (config.noise[1] - config.noise[0]) * random.random() ** 2.5  # little light is rare
    picture = _add_noise(picture, deviation, random)
    if chance[4] < config.sharpen:
        picture = _sharpen(picture, random.uniform(0.2, 1.0), random.uniform(0.8, 1.8) * size / 512)
    if chance[2] < config.jpeg:
        picture = _compress(picture, int(random.uniform(60, 96)), 0)
        if chance[5] < config.twice:
            picture = _compress(picture, int(random.uniform(40, 90)), int(random.integers(1, 8)))
    return picture


def depth_blur(image: Floats, config: EffectConfig, random: np.random.Generator) -> Floats:
    """The background out of focus, before the head is drawn over it."""
    if random.random() >= config.depth_blur:
        return image
    size = len(image)
    small = cv2.resize(image, (size // 4, size // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), random.uniform(0.5, 3) * size / 512)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _curve(filmic: float, contrast: float) -> Floats:
    """Between Reinhard's curve with white at 2.2 (Reinhard et al. 2002, eq. 4) and a film's (Narkowicz 2015), the
    display's power, and an S about the middle: a table over light from 0 to `_WHITE`."""
    light = np.linspace(0, _WHITE, _STEPS, dtype=np.float32)
    soft = np.clip(light * (1 + light / 2.2**2) / (1 + light), 0, 1)
    x = 0.75 * light
    film = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    shown = (soft + filmic * (film - soft)) ** (1 / 2.2)
    shown /= shown[-1]
    bent = shown + contrast * 0.5 * np.sin(2 * np.pi * (shown - 0.5)) / np.pi
    return np.asarray(np.clip(bent, 0, 1), np.float32)


def _develop(image: Floats, exposure: float, curve: Floats, saturation: float) -> Picture:
    """Light by the curve to bytes, colour more or less than it was; saturation 0 is black and white."""
    out = np.empty(image.shape, np.uint8)
    scale = exposure * (_STEPS - 1) / _WHITE
    _look_up(
        image.reshape(-1, 3), np.float32(scale), curve * np.float32(255), np.float32(saturation), out.reshape(-1, 3)
    )
    return out


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _look_up(image: Any, scale: Any, table: Any, saturation: Any, out: Any) -> None:
    last = len(table) - 1
    for pixel in range(image.shape[0]):
        red = table[min(last, int(image[pixel, 0] * scale))]
        green = table[min(last, int(image[pixel, 1] * scale))]
        blue = table[min(last, int(image[pixel, 2] * scale))]
        grey = np.float32(0.3) * red + np.float32(0.59) * green + np.float32(0.11) * blue + np.float32(0.5)
        grey -= saturation * (grey - np.float32(0.5))
        out[pixel, 0] = min(np.float32(255), max(np.float32(0), grey + saturation * red))
        out[pixel, 1] = min(np.float32(255), max(np.float32(0), grey + saturation * green))
        out[pixel, 2] = min(np.float32(255), max(np.float32(0), grey + saturation * blue))


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _grainy(picture: Any, tile: Any, starts: Any, strength: Any, out: Any) -> None:
    height, width = picture.shape[:2]
    for y in range(height):
        for x in range(width):
            for c in range(3):
                noise = tile[(y + starts[c, 0]) & 511, (x + starts[c, 1]) & 511]
                value = picture[y, x, c] + strength[picture[y, x, c]] * noise + 0.5
                out[y, x, c] = min(255.0, max(0.0, value))


def _add_noise(picture: Picture, deviation: float, random: np.random.Generator) -> Picture:
    """Sensor noise: the finest grain tile at a random place, half of it shared by the channels. Shot noise grows with
    the root of the light, the display's curve falls off faster: what is seen is largest in the shadows."""
    if deviation < 0.5:
        return picture
    level = np.arange(256) / 255
    strength = deviation * (0.5 + 0.9 * np.exp(-level / 0.35)) * np.clip((1.02 - level) * 6, 0, 1)
    out = np.empty_like(picture)
    _grainy(picture, tiles()[0], random.integers(0, SIDE, (3, 2)), strength.astype(np.float32), out)
    return out


def _sharpen(picture: Picture, amount: float, sigma: float) -> Picture:
    """An unsharp mask; too much of it leaves halos, as telephones do."""
    soft = cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.5))
    return np.asarray(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0), np.uint8)


def _compress(picture: Picture, quality: int, shift: int) -> Picture:
    """JPEG and back; its blocks begin `shift` pixels outside of the picture."""
    padded = cv2.copyMakeBorder(picture, shift, 0, shift, 0, cv2.BORDER_REPLICATE) if shift else picture
    stored = cv2.imencode(".jpg", padded, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(stored, cv2.IMREAD_COLOR)[shift:, shift:])


def _motion_blur(image: Floats, length: float, angle: float) -> Floats:
    side = max(3, round(length) | 1)
    kernel = np.zeros((side, side), np.float32)
    kernel[side // 2] = 1
    turn = cv2.getRotationMatrix2D((side // 2, side // 2), angle, 1)
    kernel = cv2.warpAffine(kernel, turn, (side, side))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)


def _vignette(size: int, strength: float) -> Floats:
    axis = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    return np.asarray(1 - np.float32(strength) * (axis[:, None] + axis[None]) / 2, np.float32)
