"""Head pose: the angles that the renderer turned a head by come back from its points."""

from __future__ import annotations

import numpy as np
import pytest

from fakeit.model.inference.head_pose import RIGID, head_pose
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.synth.builtin_head import builtin_head
from fakeit.pipelines.synth.camera import Camera, rotation


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (-45, 10, 5), (0, 25, 0), (10, -20, -15), (0, 0, 40)])
def test_the_angles_of_a_rendered_head_come_back(angles: tuple[float, float, float]) -> None:
    head = builtin_head()
    camera = Camera(rotation(*angles), np.array([0, 0, 6], np.float32), 90.0, 640.0, (319.5, 239.5), angles)
    points = camera.pixels(head.neutral[head.landmarks[:68]])
    pose = head_pose(points, "ibug68", 640, 480)
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx(angles, abs=0.5)
    assert pose.distance == pytest.approx(90, abs=5)


def test_the_mean_head_is_the_one_that_is_rendered() -> None:
    head = builtin_head()
    assert np.allclose(head.neutral[head.landmarks[list(RIGID)]], list(RIGID.values()), atol=0.02)


def test_what_has_no_pose_says_so() -> None:
    with pytest.raises(FakeitError, match="missing"):
        head_pose(np.full((68, 2), np.nan), "ibug68", 100, 100)
    with pytest.raises(FakeitError, match="cannot be mapped"):
        head_pose(np.zeros((5, 2)), "five", 100, 100)
