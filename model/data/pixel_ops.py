"""What augmentation does to pixels: each change for the N faces that drew it, (N, C, H, W) float32 in 0–255 on the
device. Kernels, tables and matrices are small and made on the CPU."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from fakeit.pipelines.faces.augment import YIQ


def displayable(pixels: Tensor) -> Tensor:
    """(N, C, H, W) float pixels in 0–255 → (N, H, W, C) uint8, rounded: what the network saw, as a picture."""
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def blur(some: Tensor, kernels: Tensor) -> Tensor:
    """One kernel a face, (N, kh, kw), both odd, applied by one grouped convolution."""
    count, channels, height, width = some.shape
    high, wide = (side // 2 for side in kernels.shape[-2:])
    grouped = kernels.repeat_interleave(channels, 0)[:, None]
    padded = functional.pad(some, (wide, wide, high, high), mode="replicate")
    padded = padded.reshape(1, count * channels, height + 2 * high, width + 2 * wide).contiguous()
    return functional.conv2d(padded, grouped, groups=count * channels).reshape(some.shape)


def gaussian_blur(some: Tensor, kernels: Tensor) -> Tensor:
    """A Gaussian is the product of two: along rows, then along columns. `kernels`: (N, k)."""
    return blur(blur(some, kernels[:, None, :]), kernels[:, :, None])


def _axis(reach: float) -> Tensor:
    radius = max(1, math.ceil(reach))
    return torch.arange(-radius, radius + 1, dtype=torch.float32)


def gaussian_kernels(sigma: Tensor, most: float) -> Tensor:
    """(N,) → (N, k); `most` is the largest σ that may be drawn: k depends on it, not on who else is in the batch."""
    axis = _axis(3 * most)
    kernels = torch.exp(-(axis**2) / (2 * sigma[:, None].clamp_min(0.05) ** 2))
    return kernels / kernels.sum(1, keepdim=True)


def motion_kernels(length: Tensor, angle: Tensor, most: float) -> Tensor:
    """(N,) lengths in pixels and angles → (N, k, k) lines through the middle; `most` as for `gaussian_kernels`."""
    axis = _axis(most / 2 + 0.5)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along, across = axis * cosine + axis[:, None] * sine, axis[:, None] * cosine - axis * sine
    inside = torch.clamp(length[:, None, None] / 2 + 0.5 - along.abs(), 0, 1)
    kernels = torch.clamp(1 - across.abs(), 0, 1) * inside
    return kernels / kernels.sum((1, 2), keepdim=True)


def downscale(some: Tensor, matrices: Tensor) -> Tensor:
    """Shrinks and enlarges again, by one matrix a face, (N, S, S), from `lost_resolution`."""
    return matrices[:, None] @ some @ matrices[:, None].transpose(2, 3)


def lost_resolution(factor: Tensor, side: int) -> Tensor:
    """(N,) factors → (N, side, side): a row of pixels averaged over `side / factor` equal parts, which are then
    interpolated. Parts are exact, with shares of pixels: whole pixels alone (torch's "area") would move what lies in
    them by up to a third of a pixel."""
    return torch.stack([_lost_resolution(max(4, round(side / by)), side) for by in factor.tolist()])


@lru_cache(maxsize=512)
def _lost_resolution(small: int, side: int) -> Tensor:
    edges = torch.arange(small + 1, dtype=torch.float64) * side / small
    pixels = torch.arange(side, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    average = overlap.clamp_min(0) * small / side  # (small, side)
    at = ((pixels + 0.5) * small / side - 0.5).clamp(0, small - 1)
    interpolate = (1 - (at[:, None] - torch.arange(small)).abs()).clamp_min(0)  # (side, small)
    return (interpolate @ average).float()


def colour_matrix(hue: Tensor, chroma: Tensor, contrast: Tensor) -> Tensor:
    """(N, 3, 3) RGB → RGB: hue turns, saturation scales the chroma plane of YIQ; contrast scales all."""
    yiq = torch.tensor(YIQ, dtype=torch.float32)
    radians = torch.deg2rad(hue)
    turn = torch.zeros(len(hue), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = chroma * radians.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -chroma * radians.sin(), chroma * radians.sin()
    return contrast[:, None, None] * (torch.linalg.inv(yiq) @ turn @ yiq)


_LUMINANCE = [
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
]  # fmt: skip


def jpeg_tables(quality: Tensor) -> Tensor:
    """(N,) → (N, 8, 8): the luminance table of ITU T.81 K.1 at each face's quality."""
    scale = torch.where(quality < 50, 5000 / quality.clamp_min(1), 200 - 2 * quality) / 100
    return (torch.tensor(_LUMINANCE, dtype=torch.float32) * scale[:, None, None]).clamp_min(1)


def jpeg_basis() -> Tensor:
    """(8, 8): the basis of JPEG's cosine transform."""
    steps = torch.arange(8, dtype=torch.float32)
    basis = torch.cos((2 * steps + 1) * steps[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


def jpeg(some: Tensor, table: Tensor, basis: Tensor) -> Tensor:
    """JPEG's loss without its file: 8×8 cosine transform, rounded by each face's table; a side that is no multiple of 8
    goes on as its last pixels are, to the end of a block."""
    side = some.shape[-1]
    if beyond := -side % 8:
        some = functional.pad(some, (0, beyond, 0, beyond), mode="replicate")
    count, channels, height, width = some.shape
    blocks = some.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4) - 128
    table = table[:, None, None, None]
    kept = torch.round(basis @ blocks @ basis.T / table) * table
    return ((basis.T @ kept @ basis) + 128).transpose(3, 4).reshape(some.shape)[..., :side, :side]
