"""Linear light → the picture that a camera would have stored: blur, vignette, exposure, tone curve, noise, JPEG."""

from __future__ import annotations

from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import EffectConfig
from fakeit.pipelines.synth.noise import SIDE, tiles

Floats = NDArray[np.float32]
_STEPS = 4096  # of the tone curve's table


def photograph(image: Floats, exposure: float, config: EffectConfig, random: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) float32 linear RGB → uint8 sRGB-like. `exposure` multiplies the light; highlights roll off softly."""
    size = len(image)
    chance = random.random(4)
    sigma = random.uniform(*config.blur) * size / 512
    if chance[0] < config.motion_blur:
        image = _motion_blur(image, random.uniform(3, 12) * size / 512, random.uniform(0, 180))
    if chance[1] < config.vignette:
        image = image * _vignette(size, random.uniform(0.2, 0.6))[..., None]
    picture = _tone(image, exposure, random.uniform(2.0, 2.4))
    if sigma > 0.2:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)  # on bytes: a tenth of the time
    picture = _add_noise(picture, random.uniform(*config.noise), random)
    if chance[2] < config.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.uniform(35, 95))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)


def depth_blur(image: Floats, config: EffectConfig, random: np.random.Generator) -> Floats:
    """The background out of focus, before the head is drawn over it."""
    if random.random() >= config.depth_blur:
        return image
    size = len(image)
    small = cv2.resize(image, (size // 4, size // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), random.uniform(0.5, 3) * size / 512)
    return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _tone(image: Floats, exposure: float, gamma: float) -> NDArray[np.uint8]:
    """Reinhard's curve with white at 2.2 (Reinhard et al. 2002, eq. 4), then the display's power, by one table."""
    light = np.linspace(0, 4, _STEPS, dtype=np.float32)
    curve = np.clip(light * (1 + light / 2.2**2) / (1 + light), 0, 1) ** (1 / gamma)
    table = np.rint(curve / curve[-1] * 255).astype(np.uint8)
    return _look_up(image.reshape(-1), np.float32(exposure * (_STEPS - 1) / 4), table).reshape(image.shape)  # type: ignore[no-any-return]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _look_up(image: Any, scale: Any, table: Any) -> Any:
    out = np.empty(image.size, np.uint8)
    last = len(table) - 1
    for index in range(image.size):
        out[index] = table[min(last, int(image[index] * scale))]
    return out


def _add_noise(picture: NDArray[np.uint8], deviation: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Sensor noise: the finest grain tile at a random place, channel by channel."""
    if deviation < 0.5:
        return picture
    size = len(picture)
    grain = np.tile((tiles()[0] * np.float32(deviation)).astype(np.int16), (size // SIDE + 2, size // SIDE + 2))
    starts = random.integers(0, SIDE, (3, 2))
    noise = cv2.merge([grain[y : y + size, x : x + size] for y, x in starts])
    return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)


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
