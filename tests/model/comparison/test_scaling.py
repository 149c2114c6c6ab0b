"""The power law finds what made the data, and knows how little three noisy sizes say."""

from __future__ import annotations

import numpy as np
import pytest

from fakeit.model.comparison.scaling import fit_power_law
from fakeit.pipelines.errors import FakeitError


def _trainings(sizes: list[int], scale: float, exponent: float, floor: float, noise: float, seeds: int, seed: int = 0):
    random = np.random.default_rng(seed)
    n = np.repeat(np.array(sizes, float), seeds)
    return n, floor + scale * n**-exponent * np.exp(noise * random.standard_normal(len(n)))


def test_an_exact_law_is_found_again() -> None:
    n, e = _trainings([2000, 5000, 10000], 3.0, 0.4, 0.0, 0.0, 1)
    law = fit_power_law(n, e)
    assert law.rate().middle == pytest.approx(0.4, abs=0.01)
    assert law.at(20000).middle == pytest.approx(3.0 * 20000**-0.4, rel=0.01)
    assert law.next_doubling().middle == pytest.approx(1 - 2**-0.4, abs=0.01)
    assert law.smallest(3.0 * 7000**-0.4).middle == pytest.approx(7000, rel=0.02)


def test_the_truth_lies_in_the_interval_about_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(60):
        law = fit_power_law(*_trainings([1000, 2000, 4000, 8000], 2.0, 0.3, 0.0, 0.1, 1, seed)[:2])
        rate = law.rate()
        inside += rate.low <= 0.3 <= rate.high
    assert 36 <= inside <= 60  # 80 % is 48


def test_a_floor_is_seen_where_there_are_sizes_enough() -> None:
    n, e = _trainings([250, 500, 1000, 2000, 4000, 8000, 16000], 50.0, 0.7, 1.0, 0.01, 2)
    law = fit_power_law(n, e)
    assert 0.7 < float(np.median(law.floor)) < 1.1
    assert law.smallest(0.5).middle == np.inf  # under the floor: no size is enough
    assert law.at(1e7).middle < 1.3


def test_more_noise_is_less_certainty() -> None:
    widths = []
    for noise in (0.02, 0.2):
        rate = fit_power_law(*_trainings([2000, 5000, 10000], 3.0, 0.4, 0.0, noise, 3)[:2]).rate()
        widths.append(rate.high - rate.low)
    assert widths[1] > 4 * widths[0]


def test_more_images_that_do_not_help_are_never_enough() -> None:
    law = fit_power_law([1000, 1000, 2000, 2000, 4000], [1.0, 1.01, 1.1, 1.12, 1.2])
    assert law.smallest(0.9).high == np.inf


def test_too_little_to_judge_by_is_said() -> None:
    """Three trainings on two sizes gave a law, and a figure for any other size."""
    with pytest.raises(FakeitError, match="3 sizes; there are 2"):
        fit_power_law([1000, 1000, 2000, 2000], [1.0, 1.02, 0.9, 0.91])


def test_three_single_trainings_give_figures() -> None:
    law = fit_power_law([375, 750, 1500], [22.68, 18.74, 16.26])
    assert 0.05 < law.next_doubling().middle < 0.3
    assert law.next_doubling().low < law.next_doubling().high
