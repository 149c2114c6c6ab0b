"""Reliability: probabilities held against what came true."""

from __future__ import annotations

import numpy as np
import pytest

from fakeit.model.inference.backends import NEAR, confidence
from fakeit.model.inference.calibration import fit_sigma, reliability


def test_honest_probabilities_have_no_error_and_boasts_have_theirs() -> None:
    random = np.random.default_rng(0)
    said = random.uniform(0, 1, 40000)
    true = random.uniform(0, 1, 40000) < said
    honest = reliability(said, true)
    assert honest is not None and honest.ece < 0.01 and honest.count.sum() == 40000
    boast = reliability(np.full(1000, 0.9), np.arange(1000) < 600)
    assert boast is not None and boast.ece == pytest.approx(0.3) and list(boast.count) == [1000]
    assert "says 0.900, is 0.600 of 1000 points; ECE 0.300" in boast.line("confidence")


def test_points_without_a_probability_are_left_out() -> None:
    said = np.array([np.nan, 1.0, 0.0, 1.0])
    made = reliability(said, np.array([True, True, False, True]))
    assert made is not None and made.count.sum() == 3 and made.ece == 0
    assert reliability(said[:1], np.array([True])) is None


@pytest.mark.parametrize(("scale", "floor"), [(0.5, 0.0), (1.0, 0.01), (2.5, 0.0)])
def test_what_is_wrong_with_sigma_is_found(scale: float, floor: float) -> None:
    random = np.random.default_rng(1)
    log_sigma = random.uniform(np.log(0.005), np.log(0.05), 20000)
    sigma = np.hypot(scale * np.exp(log_sigma), floor)
    near = np.linalg.norm(random.normal(0, 1, (20000, 2)) * sigma[:, None], axis=1) < NEAR
    fit = fit_sigma(log_sigma, near)
    assert fit.scale == pytest.approx(scale, rel=0.12) and fit.floor == pytest.approx(floor, abs=0.003)
    made = reliability(confidence(log_sigma.astype(np.float32), fit), near)
    told = reliability(confidence(log_sigma.astype(np.float32)), near)
    assert made is not None and told is not None and made.ece < 0.015 < told.ece
