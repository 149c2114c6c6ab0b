"""Error against dataset size: a power law with its uncertainty, what the next doubling buys, which size is enough.

error(n) = floor + scale · n^-exponent (Hestness et al., arXiv 1712.00409). For a given floor it is a straight line in
logarithms, whose parameters have a known posterior (multivariate t under flat priors); floors are weighed on a grid by
their marginal likelihood. With fewer than four sizes a floor cannot be told from a small exponent and is held at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

Floats = NDArray[np.float64]
DRAWS, FLOORS = 4000, 60
LEAST_SIZES, SIZES_FOR_A_FLOOR = 3, 4


@dataclass(frozen=True)
class Interval:
    """A figure with the middle 80 % of what it may be: infinite where a size never gets there."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class PowerLaw:
    """Draws from the posterior of the law; every answer is their median and their middle 80 %.

    Attributes:
        sizes, errors: (N,) what it was fitted on, one entry a training.
        scale, exponent, floor: (DRAWS,).
    """

    sizes: Floats
    errors: Floats
    scale: Floats = field(repr=False)
    exponent: Floats = field(repr=False)
    floor: Floats = field(repr=False)

    def at(self, size: float) -> Interval:
        """The error that a training on `size` images should have, on average over seeds."""
        return _interval(self._error(size))

    def next_doubling(self) -> Interval:
        """The share of the error that twice the largest size takes away."""
        largest = float(self.sizes.max())
        with np.errstate(all="ignore"):
            return _interval(1 - self._error(2 * largest) / self._error(largest))

    def smallest(self, target: float) -> Interval:
        """The size that reaches an error of `target`; infinite where it lies under the floor, or more does not help."""
        with np.errstate(all="ignore"):
            size = ((target - self.floor) / self.scale) ** (-1 / self.exponent)
        return _interval(np.where((target > self.floor) & (self.exponent > 0), size, np.inf))

    def rate(self) -> Interval:
        """The exponent."""
        return _interval(self.exponent)

    def _error(self, size: float) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(self.floor + self.scale * size**-self.exponent)


def fit_power_law(sizes: Sequence[float], errors: Sequence[float], seed: int = 0) -> PowerLaw:
    """The law behind trainings on some sizes, with repeated seeds or without.

    Args:
        sizes: (N,) images of each training.
        errors: (N,) its error, above 0.
        seed: of the draws.

    Raises:
        FakeitError: fewer than three sizes: a line through two says nothing about its own uncertainty, nor of more.
    """
    n, e = np.asarray(sizes, float), np.asarray(errors, float)
    known = np.isfinite(e) & (e > 0)
    n, e = n[known], e[known]
    if len(np.unique(n)) < LEAST_SIZES:
        raise FakeitError(f"a power law needs trainings on {LEAST_SIZES} sizes; there are {len(np.unique(n))}")
    with_floor = len(np.unique(n)) >= SIZES_FOR_A_FLOOR and len(n) > 4
    floors = np.linspace(0, 0.98 * e.min(), FLOORS) if with_floor else np.zeros(1)
    lines = [_line(n, e, floor) for floor in floors]
    likelihood = np.array([line[3] for line in lines])
    share = np.exp(likelihood - likelihood.max())
    random = np.random.default_rng(seed)
    chosen = random.choice(len(floors), DRAWS, p=share / share.sum())
    normal, chi = random.standard_normal((DRAWS, 2)), random.chisquare(len(n) - 2, DRAWS)
    spread = np.sqrt((len(n) - 2) / chi)
    means, roots = np.stack([line[0] for line in lines]), np.stack([line[1] * line[2] for line in lines])
    drawn = means[chosen] + np.einsum("dij,dj->di", roots[chosen], normal) * spread[:, None]
    with np.errstate(over="ignore"):
        return PowerLaw(n, e, np.exp(drawn[:, 0]), -drawn[:, 1], floors[chosen])


def _line(n: Floats, e: Floats, floor: float) -> tuple[Floats, Floats, float, float]:
    """For one floor: least squares of log(e - floor) on log n → (intercept, slope), Cholesky root of their unscaled
    covariance, residual deviation, logarithm of the marginal likelihood of the errors themselves."""
    design = np.stack([np.ones_like(n), np.log(n)], axis=1)
    target = np.log(e - floor)
    coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
    free = len(n) - 2
    residual = max(float(np.square(target - design @ coefficients).sum()), 1e-9)
    root = np.linalg.cholesky(np.linalg.inv(design.T @ design))
    return coefficients, root, float(np.sqrt(residual / free)), -free / 2 * np.log(residual) - float(target.sum())


def _interval(draws: Floats) -> Interval:
    """Quantiles. With three trainings a few draws are beyond floating point (∞ · 0); they are left out."""
    low, middle, high = np.nanquantile(draws, (0.1, 0.5, 0.9), method="nearest")
    return Interval(float(middle), float(low), float(high))
