"""One face crop → a varied one: what to draw (`AugmentConfig`), the draw itself (`Draw`) and its effect on a crop.

Every augmentation is a named block with a probability and a range. The geometric ones compose with the crop into one
matrix, so that the pixels are sampled once, from the source; gamma is one lookup; hue, saturation, contrast and
brightness are one affine map of the colour; the rest (blur, noise, JPEG, occluders) work on the small crop.
A draw depends on (seed, image id, variant) alone.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.matrix import Matrix, inverse, product, sine_cosine, square_onto

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Block:
    """One augmentation: applied with `probability`, its strength drawn evenly from `range` (units: AugmentConfig)."""

    range: tuple[float, float] = (0.0, 0.0)
    probability: float = 1.0


@dataclass(frozen=True)
class AugmentConfig:
    """Which variants of a face are made. A block that is not named is off.

    Attributes:
        variants: rows per training image.
        keep_original: variant 0 is left as it is.
        rotation: degrees, clockwise. scale: factor of the face's size. shift: share of the crop's side, each axis.
        perspective: how far the corners move, share of the crop's side. flip: mirror; only `probability` counts.
        gamma: exponent. contrast, saturation: factor. brightness: added, share of 255. hue: degrees.
        blur: sigma, crop pixels. motion_blur: length, crop pixels. downscale: factor of the lost resolution.
        shot_noise: standard deviation at white, share of 255 (grows with the root of the light).
        iso_noise: standard deviation, share of 255, everywhere. jpeg: quality, 1 to 100. grey: colour taken away.
        patches: side of one to three opaque rectangles, share of the crop's. bars: width of one bar across.
    """

    variants: int = 1
    keep_original: bool = True
    rotation: Block | None = None
    scale: Block | None = None
    shift: Block | None = None
    perspective: Block | None = None
    flip: Block | None = None
    gamma: Block | None = None
    contrast: Block | None = None
    brightness: Block | None = None
    saturation: Block | None = None
    hue: Block | None = None
    blur: Block | None = None
    motion_blur: Block | None = None
    downscale: Block | None = None
    shot_noise: Block | None = None
    iso_noise: Block | None = None
    jpeg: Block | None = None
    grey: Block | None = None
    patches: Block | None = None
    bars: Block | None = None

    def __post_init__(self) -> None:
        if self.variants < 1:
            raise FakeitError(f"augment.variants is {self.variants}; at least 1 row per image is needed")
        for field in fields(self):
            block = getattr(self, field.name)
            if isinstance(block, Block):
                _check(field.name, block)


_ABOVE_0 = ("scale", "gamma", "downscale", "jpeg")
_FROM_0 = ("blur", "motion_blur", "shot_noise", "iso_noise", "patches", "bars")


def _check(name: str, block: Block) -> None:
    """Raises FakeitError for a block that would end in black pictures, in white ones, or in an error of OpenCV's."""
    (low, high), said = block.range, f"augment.{name}.range is {list(block.range)}"
    if not 0 <= block.probability <= 1:
        raise FakeitError(f"augment.{name}.probability is {block.probability}; it must lie in 0 to 1")
    if not math.isfinite(low) or not math.isfinite(high):
        raise FakeitError(f"{said}; two finite numbers are needed")
    if low > high:
        raise FakeitError(f"{said}, which runs backwards")
    if (name in _ABOVE_0 and low <= 0) or (name in _FROM_0 and low < 0):
        raise FakeitError(f"{said}; it must {'be above' if name in _ABOVE_0 else 'start at'} 0")
    if name == "brightness" and not -1 <= low <= high <= 1:
        raise FakeitError(f"{said}; it is a share of 255, -1 to 1")


# RGB → luma and two chroma axes (NTSC's; https://en.wikipedia.org/wiki/YIQ).
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
BLOCKS = tuple(f.name for f in fields(AugmentConfig) if f.name not in ("variants", "keep_original"))


def generator(seed: int, image_id: str, variant: int) -> np.random.Generator:
    """The random numbers of one row: a function of its arguments alone, whatever the process, order or attempt."""
    key = hashlib.blake2b(f"{seed}\0{image_id}\0{variant}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


class Draw:
    """The strengths drawn for one row. Blocks are drawn in a fixed order, two numbers each, on or off, so that turning
    one block off leaves the draws of the others as they were."""

    def __init__(self, config: AugmentConfig, random: np.random.Generator) -> None:
        self.random = random
        self.strength: dict[str, float] = {}
        for name, (chance, position) in zip(BLOCKS, random.random((len(BLOCKS), 2)), strict=True):
            block: Block | None = getattr(config, name)
            if block is not None and chance < block.probability:
                low, high = block.range
                self.strength[name] = float(low + position * (high - low))
        self._shift = random.random(2)  # the second axis has a draw of its own
        self._config = config

    @property
    def flipped(self) -> bool:
        return "flip" in self.strength

    def matrix(self, size: int) -> Matrix:
        """The geometric part, (3, 3), crop pixels → crop pixels, about the crop's centre."""
        if not self.strength.keys() & {"rotation", "scale", "shift", "perspective", "flip"}:
            return np.eye(3)
        sine, cosine = sine_cosine(self.strength.get("rotation", 0.0))
        turn = np.eye(3)
        turn[:2, :2] = self.strength.get("scale", 1.0) * np.array([[cosine, -sine], [sine, cosine]])
        # y points down: this turns clockwise
        if self.flipped:
            turn[:, 0] *= -1
        if "shift" in self.strength and self._config.shift is not None:
            low, high = self._config.shift.range
            turn[:2, 2] = (low + self._shift * (high - low)) * size
        if "perspective" in self.strength:
            turn = product(self._perspective(size), turn)
        middle = (size - 1) / 2
        to_centre, back = np.eye(3), np.eye(3)
        to_centre[:2, 2], back[:2, 2] = -middle, middle
        return product(product(back, turn), to_centre)

    def _perspective(self, size: int) -> Matrix:
        half = size / 2
        corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
        return square_onto(corners + self.random.uniform(-1, 1, (4, 2)) * self.strength["perspective"] * size, half)

    def photometric(self, crop: Pixels) -> Pixels:
        """The rest, on a crop (H, W, C) uint8: occlude, lose resolution, change light and colour, add noise, JPEG."""
        if not self.strength:
            return crop
        crop = _occlude(crop, self.strength, self.random)
        crop = _soften(crop, self.strength, self.random)
        crop = _recolour(crop, self.strength)
        crop = _noise(crop, self.strength, self.random)
        if "jpeg" in self.strength:
            crop = _jpeg(crop, round(self.strength["jpeg"]))
        return crop


def _occlude(crop: Pixels, strength: dict[str, float], random: np.random.Generator) -> Pixels:
    size, channels = crop.shape[0], crop.shape[2]
    if not strength.keys() & {"patches", "bars"}:
        return crop
    crop = crop.copy()
    if "patches" in strength:
        for _ in range(random.integers(1, 4)):
            width, height = (strength["patches"] * size * random.uniform(0.5, 1.5, 2)).astype(int) + 1
            x, y = random.integers(0, size, 2)
            crop[max(0, y - height // 2) : y + height // 2 + 1, max(0, x - width // 2) : x + width // 2 + 1] = (
                random.integers(0, 256, channels)
            )
    if "bars" in strength:
        angle, offset = random.uniform(0, 180), random.uniform(-0.4, 0.4) * size
        sine, cosine = sine_cosine(angle)
        middle = size / 2 + offset * np.array([-sine, cosine])
        along = np.array([cosine, sine]) * size * 1.5
        start, end = (middle - along).astype(int), (middle + along).astype(int)
        colour = [int(v) for v in random.integers(0, 256, channels)]
        crop = cv2.line(crop, start.tolist(), end.tolist(), colour, max(1, round(strength["bars"] * size)))
    return crop.reshape(size, size, channels)


def motion_kernel(length: float, degrees: float) -> NDArray[np.float32]:
    """(k, k), k odd: a line of `length` pixels through the middle. (An even kernel has no middle pixel, and would move
    the picture by half a pixel away from its points.) Of whole 4096ths, so that sums of grey values are exact in
    float32: processors with fused multiplication would round otherwise."""
    radius = int(np.ceil(length / 2 + 0.5))
    axis = np.arange(-radius, radius + 1)
    sine, cosine = sine_cosine(degrees)
    along, across = axis * cosine + axis[:, None] * sine, axis[:, None] * cosine - axis * sine
    kernel = np.clip(1 - np.abs(across), 0, 1) * np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    shares = np.rint(kernel / kernel.sum() * 4096)
    shares[radius, radius] += 4096 - shares.sum()
    return (shares / 4096).astype(np.float32)


def _soften(crop: Pixels, strength: dict[str, float], random: np.random.Generator) -> Pixels:
    shape = crop.shape
    if "blur" in strength:
        crop = cv2.GaussianBlur(crop, (0, 0), max(strength["blur"], 0.05))
    if "motion_blur" in strength:
        crop = cv2.filter2D(crop, -1, motion_kernel(strength["motion_blur"], random.uniform(0, 180)))
    if "downscale" in strength:
        small = max(4, round(shape[0] / strength["downscale"]))
        low = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
        crop = cv2.resize(low, shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return crop.reshape(shape)


def colour_map(strength: dict[str, float]) -> NDArray[np.float32]:
    """Hue, saturation, contrast and brightness as one (3, 4) affine map of RGB in 0–255.

    Hue turns the chroma plane of YIQ, saturation scales it (https://en.wikipedia.org/wiki/YIQ); contrast scales about
    mid-grey.
    """
    yiq = np.array(YIQ)
    sine, cosine = sine_cosine(strength.get("hue", 0.0))
    chroma = 0.0 if "grey" in strength else strength.get("saturation", 1.0)
    turn = np.eye(3)
    turn[1:, 1:] = chroma * np.array([[cosine, -sine], [sine, cosine]])
    contrast = strength.get("contrast", 1.0)
    matrix = contrast * product(product(inverse(yiq), turn), yiq)
    offset = 127.5 * (1 - contrast) + 255 * strength.get("brightness", 0.0)
    return np.hstack([matrix, np.full((3, 1), offset)]).astype(np.float32)


def _recolour(crop: Pixels, strength: dict[str, float]) -> Pixels:
    table = np.arange(256, dtype=np.float64)
    if "gamma" in strength:
        table = 255 * (table / 255) ** strength["gamma"]
    if crop.shape[2] == 1:
        contrast = strength.get("contrast", 1.0)
        table = 127.5 + (table - 127.5) * contrast + 255 * strength.get("brightness", 0.0)
        return _lookup(crop, table)
    if "gamma" in strength:
        crop = _lookup(crop, table)
    if strength.keys() & {"hue", "saturation", "contrast", "brightness", "grey"}:
        crop = np.asarray(cv2.transform(crop, colour_map(strength)), np.uint8)
    return crop


def _lookup(crop: Pixels, table: NDArray[np.float64]) -> Pixels:
    return np.asarray(cv2.LUT(crop, np.clip(np.rint(table), 0, 255).astype(np.uint8)), np.uint8).reshape(crop.shape)


def _noise(crop: Pixels, strength: dict[str, float], random: np.random.Generator) -> Pixels:
    if not strength.keys() & {"shot_noise", "iso_noise"}:
        return crop
    light = crop.astype(np.float32)
    variance = (255 * strength.get("shot_noise", 0.0)) ** 2 * light / 255 + (255 * strength.get("iso_noise", 0.0)) ** 2
    light += random.standard_normal(crop.shape, np.float32) * np.sqrt(variance)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _jpeg(crop: Pixels, quality: int) -> Pixels:
    """Colours lose more than light does, and red and blue not the same: OpenCV must know which is which."""
    colour = crop.shape[2] == 3
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR) if colour else crop
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, min(max(quality, 1), 100)])
    made = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB if colour else cv2.IMREAD_UNCHANGED)
    return np.asarray(made, np.uint8).reshape(crop.shape)
