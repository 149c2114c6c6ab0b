"""WFLW's points made of ours: shared ones stay, those between lie on the curve, mirrored faces have mirrored points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakeit.model.inference.adapter import beside
from fakeit.model.inference.wflw98 import NEIGHBOURS, carried, wflw98_points
from fakeit.pipelines.landmarks import convert, scheme


def face() -> np.ndarray:
    """(70, 2): a jaw on half an ellipse, brows and lids on arcs, the rest on a line; symmetric about x = 100."""
    points = np.zeros((70, 2))
    turn = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([100 + 80 * np.cos(turn), 80 + 110 * np.sin(turn)], 1)
    arc = np.linspace(-1, 1, 5)
    points[17:22] = np.stack([60 + 25 * arc, 52 + 6 * arc**2], 1)
    points[22:27] = np.stack([140 + 25 * arc, 52 + 6 * arc**2], 1)
    points[27:31] = np.stack([np.full(4, 100), np.linspace(75, 110, 4)], 1)
    points[31:36] = np.stack([np.linspace(85, 115, 5), np.full(5, 120)], 1)
    lid = np.array([[-18, 0], [-6, -8], [6, -8], [18, 0], [6, 7], [-6, 7]], float)
    points[36:42], points[42:48] = lid + (60, 80), lid + (140, 80)
    mouth = 2 * np.pi * np.arange(12) / 12 + np.pi
    points[48:60] = np.stack([100 + 30 * np.cos(mouth), 150 + 12 * np.sin(mouth)], 1)
    inner = 2 * np.pi * np.arange(8) / 8 + np.pi
    points[60:68] = np.stack([100 + 20 * np.cos(inner), 150 + 5 * np.sin(inner)], 1)
    points[68], points[69] = (60, 80), (140, 80)
    return points


def test_what_both_have_stays_and_what_lies_between_is_on_the_curve() -> None:
    points = face()
    made = wflw98_points(points)
    assert np.allclose(convert(made, "wflw98", "ibug68"), points[:68], atol=1e-4)
    assert np.allclose(made[96:], points[68:])
    on_ellipse = np.hypot((made[:33, 0] - 100) / 80, (made[:33, 1] - 80) / 110)
    assert np.abs(on_ellipse - 1)[3:30].max() < 0.001, "on the curve: chords would be half a per cent inside"
    assert (made[[62, 70], 1] < 71.9).all() and (made[[66, 74], 1] > 87.1).all(), "lids bulge between their points"


def test_brows_have_a_lower_edge_under_the_upper_one() -> None:
    points = face()
    made = wflw98_points(points)
    thick = 0.08 * (points[45, 0] - points[36, 0])
    for lower, upper in zip([38, 39, 40, 41, 50, 49, 48, 47], [37, 36, 35, 34, 42, 43, 44, 45], strict=True):
        assert np.allclose(made[lower] - made[upper], (0, thick), atol=0.01)


def test_it_turns_and_mirrors_with_the_face() -> None:
    points = face() + np.random.default_rng(1).normal(0, 2, (70, 2))
    made = wflw98_points(points)
    mirrored = wflw98_points(points[list(scheme("face70").flip)] * [-1, 1])
    assert np.allclose(mirrored[list(scheme("wflw98").flip)] * [-1, 1], made, atol=1e-3)
    cos, sin = np.cos(0.6), np.sin(0.6)
    turn = np.array([[cos, sin], [-sin, cos]])
    assert np.allclose(wflw98_points(points @ turn), made @ turn, atol=1e-3)


def test_missing_points_leave_only_their_own_missing() -> None:
    points = face()
    points[3] = np.nan
    missing = np.flatnonzero(np.isnan(wflw98_points(points)[:, 0]))
    assert set(missing) == {3, 5, 6, 7, 9}, "the one, those beside it, and those that bend by it"


def test_it_needs_no_file_and_carries_confidence() -> None:
    adapter = beside("wflw98", Path("any.onnx"))
    assert (adapter.source, adapter.target) == ("face70", "wflw98")
    assert np.allclose(adapter.apply(face()), wflw98_points(face()))
    trust = np.arange(70, dtype=np.float32)
    assert len(NEIGHBOURS) == 98 and carried(trust)[[0, 1, 32, 62, 97]] == pytest.approx([0, 0.5, 16, 37.5, 69])
    assert np.allclose(adapter.confidence(trust), carried(trust))
