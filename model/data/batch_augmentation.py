"""The same augmentations as fakeit.pipelines.faces.augment, on whole batches on the device, drawn anew every epoch.

Stored crops may be larger than the network's input: the recrop, rotation, scale, shift, perspective and flip compose
into one matrix a face, and pixels are sampled once. The rest touches only the faces that drew it. A draw, noise
included, depends on (seed, epoch, global batch, position in it): the number of ranks and a resume change nothing.

What is small (draws, matrices, kernels, who is changed) is worked out on the CPU and sent; only pixels and points are
on the device. So no step has to ask a GPU anything, and the GPU never waits for the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fakeit.model.data.device import send
from fakeit.model.data.pixel_ops import (
    blur,
    colour_matrix,
    downscale,
    gaussian_blur,
    gaussian_kernels,
    jpeg,
    jpeg_basis,
    jpeg_tables,
    lost_resolution,
    motion_kernels,
)
from fakeit.pipelines.dense_points import dense_mirror
from fakeit.pipelines.faces.augment import BLOCKS, AugmentConfig, Block
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.landmarks import Scheme

PATCHES = 3
LUMA = (0.299, 0.587, 0.114)
# Fixed places of further uniform numbers in a face's draw, behind two for each block.
_SHIFT, _PERSPECTIVE, _ANGLE, _PATCH, _BAR = 0, 2, 4, 5, 5 + 5 * PATCHES + 3
_MIXUP, _GRAIN = _BAR + 5, _BAR + 6
_EXTRA = _GRAIN + 1
GRAINS = 4  # a batch's field of noise holds so many faces; each face takes a piece of it at a place of its own


@dataclass(frozen=True)
class Draws:
    """Uniform numbers for N faces, on the CPU: `chance` and `position` (N, blocks), `extra` (N, _EXTRA); and the
    device's generator of the batch's noise, alike on all ranks."""

    chance: Tensor
    position: Tensor
    extra: Tensor
    noise: torch.Generator


class Augmenter:
    """uint8 crops as stored → float pixels as the network takes them, points moved along.

    Args:
        stored: recipe of the dataset's crops.
        wanted: recipe of the network's; its size, margin and colour may differ.
        scheme: of the points; its mirror pairs serve the flip.
        config: what to draw; None only recrops.
        seed: of the run.
        device: where batches are.
    """

    def __init__(
        self,
        stored: CropConfig,
        wanted: CropConfig,
        scheme: Scheme,
        config: AugmentConfig | None,
        seed: int,
        device: torch.device,
    ) -> None:
        self.stored, self.wanted, self.config, self.seed, self.device = stored, wanted, config, seed, device
        self.ratio = (1 + 2 * wanted.margin) / (1 + 2 * stored.margin)
        self.recrops = self.ratio != 1 or wanted.size != stored.size
        dense = scheme.count + dense_mirror()  # dense points follow the scheme's, where they are asked for
        self._flip = torch.tensor([*scheme.flip, *dense.tolist()])  # on the CPU
        self.flip = self._flip.to(device)
        self.basis = jpeg_basis().to(device)
        self.luma = torch.tensor(LUMA, device=device).reshape(1, 3, 1, 1)
        self.axis = (torch.arange(wanted.size) + 0.5) / wanted.size - 0.5  # centred unit crop: -½…½; on the CPU
        y, x = torch.meshgrid(self.axis, self.axis, indexing="ij")
        self.grid = torch.stack((x, y, torch.ones_like(x)), -1).reshape(-1, 3).to(device)
        self.x, self.y = x.to(device), y.to(device)

    def draw(self, epoch: int, batch: int, first: int, count: int, global_size: int) -> Draws:
        """The draws of `count` faces from position `first` of a global batch; position -1 is its last."""
        generator = torch.Generator().manual_seed(_mixed(self.seed, epoch, batch))
        uniform = torch.rand(global_size, 2 * len(BLOCKS) + _EXTRA, generator=generator)
        uniform = uniform[torch.arange(first, first + count) % global_size]
        blocks = uniform[:, : 2 * len(BLOCKS)].reshape(count, len(BLOCKS), 2)
        noise = torch.Generator(self.device).manual_seed(_mixed(self.seed, epoch, batch, 1))
        return Draws(blocks[..., 0], blocks[..., 1], uniform[:, 2 * len(BLOCKS) :], noise)

    def __call__(self, images: Tensor, landmarks: Tensor, draws: Draws | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Applies draws, or only the recrop.

        Args:
            images: (N, H, W, C) uint8, stored crops.
            landmarks: (N, K, 2) float32, unit crop of those; or K + 400, with the dense points.

        Returns:
            (N, C', S, S) float32 in 0–255, channels-last; landmarks in the network's unit crop; and (N, K) the order
            of the points, for what else is kept by point (weights): a flipped face has its points exchanged.
        """
        pixels = images.permute(0, 3, 1, 2).float()
        order = torch.arange(landmarks.shape[1], device=landmarks.device).expand(landmarks.shape[:2])
        active = draws if self.config is not None else None
        if self.recrops or active is not None:
            matrix, flipped = self._matrix(len(images), active)
            pixels = self._warp(pixels, matrix)
            landmarks = _transform(landmarks, self._send(matrix), self.ratio)
            order = torch.where(self._send(flipped)[:, None], self.flip[: landmarks.shape[1]], order)
            landmarks = landmarks.gather(1, order[..., None].expand_as(landmarks))
        if active is not None:
            pixels = self._photometric(pixels, active).clamp_(0, 255)
        if pixels.shape[1] == 3 and self.wanted.channels == 1:
            pixels = (pixels * self.luma).sum(1, keepdim=True)
        return pixels.contiguous(memory_format=torch.channels_last), landmarks, order

    def _send(self, small: Tensor) -> Tensor:
        return send(small, self.device)

    def strength(self, name: str, draws: Draws, neutral: float = 0.0) -> tuple[Tensor, Tensor]:
        """(N,) strengths of a block, `neutral` where it is off, and (N,) whether it is on; on the CPU."""
        block: Block | None = getattr(self.config, name)
        index = BLOCKS.index(name)
        if block is None:
            off = torch.zeros_like(draws.chance[:, 0], dtype=torch.bool)
            return torch.full_like(draws.chance[:, 0], neutral), off
        on = draws.chance[:, index] < block.probability
        low, high = block.range
        return torch.where(on, low + draws.position[:, index] * (high - low), neutral), on

    def _most(self, name: str) -> float:
        """The largest strength that a block may draw."""
        block: Block | None = getattr(self.config, name)
        return 0.0 if block is None else block.range[1]

    def mixed_weight(self, weight: Tensor, draws: Draws) -> float:
        """Σ weight that a whole global batch has after `mixup`: less than before where points are missing.

        Args:
            weight: (N, K) float32 of the global batch as stored, on the CPU.
            draws: of all its N positions.
        """
        if self.config is not None:
            _, flipped = self.strength("flip", draws)
            weight = torch.where(flipped[:, None], weight[:, self._flip[: weight.shape[1]]], weight)
        return float(torch.minimum(weight, weight.roll(1, 0)).sum(dtype=torch.float64))

    def _matrix(self, count: int, draws: Draws | None) -> tuple[Tensor, Tensor]:
        """(N, 3, 3) from the network's crop, unaugmented, to augmented; centred unit crop. And (N,) who is mirrored."""
        matrix = torch.eye(3).repeat(count, 1, 1)
        if draws is None:
            return matrix, torch.zeros(count, dtype=torch.bool)
        degrees, _ = self.strength("rotation", draws)
        factor, _ = self.strength("scale", draws, 1.0)
        _, flipped = self.strength("flip", draws)
        radians = torch.deg2rad(degrees)
        cosine, sine = factor * radians.cos(), factor * radians.sin()
        mirror = torch.where(flipped, -1.0, 1.0)
        matrix[:, 0, 0], matrix[:, 0, 1] = cosine * mirror, -sine
        matrix[:, 1, 0], matrix[:, 1, 1] = sine * mirror, cosine
        assert self.config is not None
        if self.config.shift is not None:
            _, on = self.strength("shift", draws)
            low, high = self.config.shift.range
            matrix[:, :2, 2] = (low + draws.extra[:, _SHIFT : _SHIFT + 2] * (high - low)) * on[:, None]
        if self.config.perspective is not None:
            strength, _ = self.strength("perspective", draws)
            tilt = torch.eye(3).repeat(count, 1, 1)  # a corner moves by at most `strength`
            tilt[:, 2, :2] = (4 * draws.extra[:, _PERSPECTIVE : _PERSPECTIVE + 2] - 2) * strength[:, None]
            matrix = tilt @ matrix
        return matrix, flipped

    def _warp(self, pixels: Tensor, matrix: Tensor) -> Tensor:
        """Samples every face once, at the inverse of its matrix."""
        shrink = self.ratio * self.stored.size / self.wanted.size
        unit = 1  # pixels of the stored crop that one of `pixels` is the mean of, along an axis
        while shrink >= 1.8:  # bilinear sampling sees two pixels: what is shrunk further is averaged first
            pixels, unit, shrink = _halved(pixels), 2 * unit, shrink / 2
        inverse = torch.linalg.inv(matrix)
        inverse = inverse / inverse[:, 2:, 2:]
        at = self.grid @ self._send(inverse).transpose(1, 2)
        scale = 2 * self.ratio  # centred unit crop of the network → grid_sample's -1…1 over the stored crop
        where = at[..., :2] * (scale / at[..., 2:]) if inverse[:, 2, :2].any() else at[..., :2] * scale
        reach = self.stored.size / (unit * pixels.shape[-1])  # less than 1 where an odd row was doubled
        if reach != 1:
            where = (where + 1) * reach - 1
        side = self.wanted.size
        return functional.grid_sample(
            pixels, where.reshape(-1, side, side, 2), mode="bilinear", padding_mode="zeros", align_corners=False
        )

    def _on_some(self, pixels: Tensor, on: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Applies `change(pixels of those, their numbers)` to the faces that drew it, in place."""
        who = on.nonzero()[:, 0]
        if len(who) == 0:
            return pixels
        if len(who) == len(pixels):
            return change(pixels, who)
        places = self._send(who)
        return pixels.index_copy_(0, places, change(pixels[places], who))

    def _photometric(self, pixels: Tensor, draws: Draws) -> Tensor:
        pixels = self._occlude(pixels, draws)
        angle = math.pi * draws.extra[:, _ANGLE]
        sigma, on = self.strength("blur", draws)
        most = self._most("blur")
        pixels = self._on_some(
            pixels, on, lambda some, who: gaussian_blur(some, self._send(gaussian_kernels(sigma[who], most)))
        )
        length, on = self.strength("motion_blur", draws)
        longest = self._most("motion_blur")
        pixels = self._on_some(
            pixels, on, lambda some, who: blur(some, self._send(motion_kernels(length[who], angle[who], longest)))
        )
        factor, on = self.strength("downscale", draws, 1.0)
        side = self.wanted.size
        pixels = self._on_some(
            pixels, on, lambda some, who: downscale(some, self._send(lost_resolution(factor[who], side)))
        )
        pixels = self._recolour(pixels, draws)
        pixels = self._noise(pixels, draws)
        quality, on = self.strength("jpeg", draws)
        return self._on_some(
            pixels, on, lambda some, who: jpeg(some, self._send(jpeg_tables(quality[who])), self.basis)
        )

    def _occlude(self, pixels: Tensor, draws: Draws) -> Tensor:
        strength, on = self.strength("patches", draws)
        width, on_bars = self.strength("bars", draws)

        def patches(some: Tensor, who: Tensor) -> Tensor:
            extra = draws.extra[who, _PATCH:_BAR]
            count = 1 + (extra[:, 5 * PATCHES] * PATCHES).floor()
            for index in range(PATCHES):
                u = extra[:, 5 * index : 5 * index + 5]
                half = strength[who, None] * (0.5 + u[:, 2:4]) / 2
                inside_x = (self.axis - (u[:, :1] - 0.5)).abs() < half[:, :1]
                inside_y = ((self.axis - (u[:, 1:2] - 0.5)).abs() < half[:, 1:]) & (index < count)[:, None]
                mask = self._send(inside_y)[:, :, None] & self._send(inside_x)[:, None, :]
                colour = self._send(255 * (u[:, 4:5] * torch.tensor([1.0, 7.3, 31.7]) % 1)[:, : some.shape[1]])
                some = torch.where(mask[:, None], colour[:, :, None, None], some)
            return some

        def bars(some: Tensor, who: Tensor) -> Tensor:
            u = draws.extra[who, _BAR:]
            angle, offset = math.pi * u[:, 0], 0.8 * u[:, 1] - 0.4
            places = torch.stack((angle.cos(), angle.sin(), offset, width[who] / 2))
            cosine, sine, offset, half = self._send(places)[..., None, None]
            mask = (cosine * self.y - sine * self.x - offset).abs() < half
            colour = self._send(255 * u[:, 2:5])[:, : some.shape[1], None, None]
            return torch.where(mask[:, None], colour, some)

        return self._on_some(self._on_some(pixels, on, patches), on_bars, bars)

    def _recolour(self, pixels: Tensor, draws: Draws) -> Tensor:
        gamma, on = self.strength("gamma", draws, 1.0)
        power = gamma[:, None, None, None]
        pixels = self._on_some(
            pixels, on, lambda some, who: 255 * (some / 255).clamp(1e-4, 1) ** self._send(power[who])
        )
        contrast, on_contrast = self.strength("contrast", draws, 1.0)
        brightness, on_brightness = self.strength("brightness", draws)
        offset = 127.5 * (1 - contrast) + 255 * brightness
        if pixels.shape[1] == 1:
            return pixels * self._send(contrast)[:, None, None, None] + self._send(offset)[:, None, None, None]
        hue, on_hue = self.strength("hue", draws)
        chroma, on_chroma = self.strength("saturation", draws, 1.0)
        _, on_grey = self.strength("grey", draws)
        if not (on_contrast | on_brightness | on_hue | on_chroma | on_grey).any():
            return pixels
        matrix = colour_matrix(hue, torch.where(on_grey, 0.0, chroma), contrast)
        mixed = torch.baddbmm(self._send(offset)[:, None, None], self._send(matrix), pixels.flatten(2))
        return mixed.reshape(pixels.shape)

    def _noise(self, pixels: Tensor, draws: Draws) -> Tensor:
        shot, on_shot = self.strength("shot_noise", draws)
        iso, on_iso = self.strength("iso_noise", draws)

        def add(some: Tensor, who: Tensor) -> Tensor:
            by_light, even = self._send((255 * torch.stack((shot[who], iso[who]))) ** 2)[..., None, None, None]
            spread = (by_light * some.clamp_min(0) / 255 + even).sqrt()
            size = some[0].numel()
            field = torch.randn(GRAINS * size, generator=draws.noise, device=some.device)
            places = self._send((draws.extra[who, _GRAIN] * (GRAINS - 1) * size).long())
            return some + spread * field.unfold(0, size, 1)[places].reshape(some.shape)

        return self._on_some(pixels, on_shot | on_iso, add)


def mixup(
    pixels: Tensor, landmarks: Tensor, weight: Tensor, alpha: float, draws: Draws
) -> tuple[Tensor, Tensor, Tensor]:
    """Blends each face, and its points, with the one before it (arXiv 1710.09412); the first only serves the second,
    so that N + 1 faces give N. A point that one of the two lacks is left out. The share is drawn a face, from a
    triangle that narrows to Beta(α, α)'s spread."""
    spread = 0.5 / math.sqrt(2 * alpha + 1)
    share = 0.5 + 2 * spread * (draws.extra[1:, _MIXUP] - 0.5) * math.sqrt(3)
    share = send(torch.where(share > 0.5, share, 1 - share).clamp(0, 1), pixels.device)
    mixed = share[:, None, None, None] * pixels[1:] + (1 - share[:, None, None, None]) * pixels[:-1]
    points = share[:, None, None] * landmarks[1:] + (1 - share[:, None, None]) * landmarks[:-1]
    return mixed, points, torch.minimum(weight[1:], weight[:-1])


def _halved(pixels: Tensor) -> Tensor:
    """(N, C, S, S) → means of 2×2; the last of an odd number of pixels stands for two, so that nothing is left out."""
    odd = pixels.shape[-1] % 2
    if odd:
        pixels = functional.pad(pixels, (0, odd, 0, odd), mode="replicate")
    return functional.avg_pool2d(pixels, 2)


def _mixed(*key: int) -> int:
    """A 63-bit seed from several numbers."""
    value = 0x9E3779B97F4A7C15
    for part in key:
        value = ((value ^ (part + 1)) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & (2**64 - 1)
        value ^= value >> 29
    return value >> 1


def _transform(landmarks: Tensor, matrix: Tensor, ratio: float) -> Tensor:
    """Unit crop as stored → unit crop of the network, augmented; NaN stays NaN."""
    centred = (landmarks - 0.5) / ratio
    moved = torch.cat((centred, torch.ones_like(centred[..., :1])), -1) @ matrix.transpose(1, 2)
    return moved[..., :2] / moved[..., 2:] + 0.5
