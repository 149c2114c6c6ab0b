"""Whether what a network says of itself is true: of points it is 90 % sure of, nine in ten should lie where it says.

Confidence is the chance that a point lies within NEAR of the truth, visibility the chance that it is seen. Both are
probabilities of a thing that labels decide, so one diagram and one number serve both: the expected calibration error
(Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602), the mean distance between what was said and what came
true over bins of what was said, weighted by their points. Confidence is mended by two numbers on σ (Guo et al.
2017, https://arxiv.org/abs/1706.04599, do with one on logits): with a factor alone 0.034 of error were left on renders
held back, with a floor beside it 0.022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.backends import SigmaFit, confidence

BINS = 15
SCALES, FLOORS = np.round(np.exp(np.arange(-1.6, 2.1, 0.1)), 2), np.linspace(0, 0.03, 13)  # of the crop's side
ENOUGH = 20_000  # points for two numbers


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram's numbers.

    Attributes:
        said: (B,) mean probability of each bin that holds points; true: (B,) share of them that came true.
        count: (B,) points of each bin.
        brier: mean squared distance of probability and outcome.
    """

    said: NDArray[np.float64]
    true: NDArray[np.float64]
    count: NDArray[np.int64]
    brier: float

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1."""
        return float((np.abs(self.said - self.true) * self.count).sum() / self.count.sum())

    def line(self, what: str) -> str:
        """One line for a terminal."""
        said, true = (np.average(each, weights=self.count) for each in (self.said, self.true))
        return f"{what}: says {said:.3f}, is {true:.3f} of {self.count.sum()} points; ECE {self.ece:.3f}"


def reliability(probability: NDArray[np.floating], outcome: NDArray[np.bool_], bins: int = BINS) -> Reliability | None:
    """The diagram of probabilities (…,) and what came true (…,); points without a probability (NaN) are left out, None
    where none is left."""
    known = np.isfinite(probability)
    said, true = np.asarray(probability[known], np.float64), outcome[known]
    if not len(said):
        return None
    number = np.minimum((said * bins).astype(int), bins - 1)
    count = np.bincount(number, minlength=bins)
    held = count > 0
    sums = [np.bincount(number, weights=each, minlength=bins)[held] / count[held] for each in (said, true)]
    return Reliability(sums[0], sums[1], count[held], float(((said - true) ** 2).mean()))


def fit_sigma(log_sigma: NDArray[np.floating], near: NDArray[np.bool_]) -> SigmaFit:
    """What brings the confidence nearest to whether points lie NEAR the truth, (M,) both: of SCALES and FLOORS those of
    the least Brier score, on ENOUGH of the points."""
    step = max(1, len(near) // ENOUGH)
    unsure, true = np.asarray(log_sigma[::step], np.float32), near[::step]
    fits = [SigmaFit(float(scale), float(floor)) for scale in SCALES for floor in FLOORS]
    return min(fits, key=lambda fit: float(((confidence(unsure, fit) - true) ** 2).mean()))
