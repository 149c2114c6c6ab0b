"""Detectors behind one interface: real faces are found where they are, nothing is found where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import from_landmarks
from fakeit.pipelines.faces.box_fit import box_fit
from fakeit.pipelines.faces.detect import DETECTORS, detector
from fakeit.pipelines.sources import open_source


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1), (15, 400), (120, 160)])
def test_nothing_where_nothing_is(name: str, shape: tuple[int, int]) -> None:
    assert detector(name).detect(np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize(("name", "least"), [("haar", 7), ("mtcnn", 10)])
def test_real_faces_are_found_and_mapped_to_training_boxes(name: str, least: int, shared: Path) -> None:
    source = open_source("300w", str(shared / "data" / "afw_68"))
    finder, fit, near = detector(name), box_fit(name, "face70"), 0
    for sample in source.samples()[::33]:
        true = from_landmarks(source.read(sample).landmarks)
        for found in finder.detect(source.image(sample)):
            box = fit.apply(found.box)
            off = np.hypot(box.centre[0] - true.centre[0], box.centre[1] - true.centre[1])
            near += bool(off < 0.25 * true.side and 0.6 < box.side / true.side < 1.6)
            if name == "mtcnn":
                assert found.points is not None and found.points.shape == (5, 2)
    assert near >= least  # of 11


def test_an_unknown_detector_names_the_nearest() -> None:
    with pytest.raises(FakeitError, match="did you mean 'mtcnn'"):
        detector("mtccn")
