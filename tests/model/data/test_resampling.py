"""Every path that samples pixels anew leaves a dot where its landmark says: at most 0.02 px off, any pair of sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fakeit.model.data.batch_augmentation import Augmenter
from fakeit.model.data.pixel_ops import (
    blur,
    downscale,
    gaussian_blur,
    gaussian_kernels,
    lost_resolution,
    motion_kernels,
)
from fakeit.pipelines.faces.augment import AugmentConfig, Block, Draw, generator
from fakeit.pipelines.faces.crop import CropConfig, Picture
from fakeit.pipelines.landmarks import scheme

Image = NDArray[np.generic]
SIZES = (31, 32, 40, 47, 48, 64, 80, 96, 100, 127, 128, 160, 224, 250, 255, 256)
PLACES = ((0.4, 0.45), (0.61, 0.552))  # unit crop
AT_MOST = 0.02  # pixels of the smaller side of a pair


def dot(size: int, at: tuple[float, float], sigma: float) -> NDArray[np.float64]:
    """(S, S) in 0–200: a soft dot whose middle is at `at`, unit crop."""
    y, x = np.mgrid[:size, :size] + 0.5
    return np.asarray(200 * np.exp(-((x - at[0] * size) ** 2 + (y - at[1] * size) ** 2) / (2 * sigma**2)))


def middle(image: Image) -> NDArray[np.float64]:
    """Where the dot of an (S, S) image is, unit crop: the mean under a Gaussian window about the answer itself."""
    grey = np.asarray(image, np.float64)
    y, x = np.mgrid[: len(grey), : len(grey)] + 0.5
    share = grey / grey.sum()
    at = np.array([(share * x).sum(), (share * y).sum()])
    spread = (share * ((x - at[0]) ** 2 + (y - at[1]) ** 2)).sum() / 2
    for _ in range(12):
        window = grey * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * spread))
        window /= window.sum()
        at = at + 2 * (np.array([(window * x).sum(), (window * y).sum()]) - at)
    return at / len(grey)


def drawn(stored: int, wanted: int) -> NDArray[np.uint8]:
    """A dot at each place, (N, S, S, 3), broad enough to be seen at both sizes."""
    sigma = max(1.9 * max(stored / wanted, 1), 0.05 * stored)
    return np.stack([dot(stored, at, sigma) for at in PLACES]).round().astype(np.uint8)[..., None].repeat(3, -1)


@pytest.mark.parametrize(("stored", "wanted"), [(a, b) for a, b in itertools.product(SIZES, SIZES) if a != b])
def test_the_augmenter_keeps_a_dot_at_its_landmark(stored: int, wanted: int) -> None:
    change = Augmenter(CropConfig(size=stored), CropConfig(size=wanted), scheme("five"), None, 0, torch.device("cpu"))
    points = torch.tensor(PLACES)[:, None].repeat(1, 5, 1)
    pixels, moved, _ = change(torch.from_numpy(drawn(stored, wanted)), points)
    apart = [np.abs(middle(face[0].numpy()) - at[0].numpy()).max() for face, at in zip(pixels, moved, strict=True)]
    assert max(apart) * min(stored, wanted) < AT_MOST


@pytest.mark.parametrize(("stored", "wanted"), [(250, 64), (255, 64), (255, 80), (127, 32), (96, 64)])
def test_also_turned_tilted_and_cut_closer(stored: int, wanted: int) -> None:
    config = AugmentConfig(rotation=Block((-30, 30)), scale=Block((0.9, 1.1)), perspective=Block((0.05, 0.1)))
    recipes = CropConfig(size=stored, margin=0.4), CropConfig(size=wanted, margin=0.2)
    change = Augmenter(*recipes, scheme("five"), config, 3, torch.device("cpu"))
    points = torch.tensor(PLACES)[:, None].repeat(1, 5, 1)
    pixels, moved, _ = change(torch.from_numpy(drawn(stored, wanted)), points, change.draw(0, 0, 0, 2, 2))
    apart = [np.abs(middle(face[0].numpy()) - at[0].numpy()).max() for face, at in zip(pixels, moved, strict=True)]
    # A tilted dot's middle is not quite the tilted middle, so here the bound is wider.
    assert max(apart) * wanted < 0.1


@pytest.mark.parametrize(("source", "wanted"), [(a, b) for a, b in itertools.product(SIZES, SIZES) if a != b])
def test_the_source_picture_s_warp_keeps_a_dot_in_place(source: int, wanted: int) -> None:
    matrix = np.diag([wanted / source, wanted / source, 1.0])
    matrix[:2, 2] = (wanted / source - 1) / 2
    for picture, at in zip(drawn(source, wanted), PLACES, strict=True):
        crop = Picture(picture, "rgb").warp(matrix, wanted)[..., 0]
        assert np.abs(middle(crop) - at).max() * min(source, wanted) < AT_MOST


def _softened(name: str, strength: float) -> Callable[[Image], Image]:
    """A block of the numpy augmenter alone."""
    draw = Draw(AugmentConfig(**{name: Block((strength, strength))}), generator(1, "face", 0))  # type: ignore[arg-type]
    return lambda image: draw.photometric(image.round().astype(np.uint8)[..., None])[..., 0]


def _on_device(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Image], Image]:
    return lambda image: change(torch.from_numpy(image).float()[None, None])[0, 0].numpy()


def _changes(strength: float, side: int) -> dict[str, Callable[[Image], Image]]:
    one = torch.tensor([strength])
    return {
        "numpy blur": _softened("blur", strength),
        "numpy motion_blur": _softened("motion_blur", strength),
        "numpy downscale": _softened("downscale", strength),
        "device blur": _on_device(lambda x: gaussian_blur(x, gaussian_kernels(one, strength))),
        "device motion_blur": _on_device(lambda x: blur(x, motion_kernels(one, torch.tensor([0.7]), strength))),
        "device downscale": _on_device(lambda x: downscale(x, lost_resolution(one, side))),
    }


@pytest.mark.parametrize("strength", [1.1, 1.7, 2.0, 3.0, 3.6, 4.0])
@pytest.mark.parametrize("name", sorted(_changes(1.0, 32)))
@pytest.mark.parametrize("side", [47, 64, 127])
def test_what_softens_does_not_move(name: str, strength: float, side: int) -> None:
    for at in PLACES:
        image = dot(side, at, max(4.0, 2 * strength) if "downscale" in name else 4.0)
        assert np.abs(middle(_changes(strength, side)[name](image)) - at).max() * side < AT_MOST * max(1, strength)


@pytest.mark.parametrize("name", ["blur", "motion_blur"])
def test_a_face_s_blur_does_not_depend_on_its_neighbours(name: str) -> None:
    """The radius was the batch's: σ 0.5 beside σ 6 was another blur than σ 0.5 alone, and σ 6 was 4.3."""
    config = AugmentConfig(**{name: Block((0.4, 6.0))})  # type: ignore[arg-type]
    recipe = CropConfig(size=64)
    change = Augmenter(recipe, recipe, scheme("five"), config, 3, torch.device("cpu"))
    images, points = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8), torch.rand(8, 5, 2)
    together = change(images, points, change.draw(0, 0, 0, 8, 8))[0]
    for face in range(8):
        alone = change(images[face : face + 1], points[:1], change.draw(0, 0, face, 1, 8))[0][0]
        torch.testing.assert_close(together[face], alone, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0, 6.0])
def test_a_blur_is_as_wide_as_it_says(sigma: float) -> None:
    image = torch.zeros(1, 1, 97, 97)
    image[..., 48, 48] = 1000
    made = gaussian_blur(image, gaussian_kernels(torch.tensor([sigma]), 6.0))[0, 0].double().sum(0)
    found = float(((torch.arange(97) - 48.0) ** 2 * made).sum() / made.sum()) ** 0.5
    assert found == pytest.approx(sigma, rel=0.03)
