"""A teacher's many views of a photograph, brought back to it; what they disagree about is left empty."""

from __future__ import annotations

import csv
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakeit.model.inference.backends import ModelMetadata, Output
from fakeit.model.inference.landmarker import Landmarker
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.crop import CropConfig, Picture
from tools import label_photographs
from tools.label_photographs import taught, views

DOTS = np.array([[80, 90], [140, 92], [110, 120], [88, 150], [134, 148]], float)  # eyes, nose, corners of the mouth
BOX = Box(70, 80, 80, 80)


def photograph() -> np.ndarray:
    pixels = np.zeros((240, 240, 3), np.uint8)
    for x, y in DOTS.astype(int):
        cv2.circle(pixels, (x, y), 4, (255, 255, 255), -1, cv2.LINE_AA)
    return pixels


class SeesDots:
    """Calls white dots by where they lie, as a network does a face's points; `unsure`: of one point it is never."""

    metadata = ModelMetadata("five", CropConfig(96, 0.3))

    def __init__(self, unsure: float = 0.0) -> None:
        self.unsure, self.random = unsure, np.random.default_rng(1)

    def run(self, crops: np.ndarray) -> Output:
        found = []
        for crop in crops:
            _, _, stats, centres = cv2.connectedComponentsWithStats((crop[..., 0] > 127).astype(np.uint8))
            points = centres[1:][np.argsort(centres[1:, 1])]
            pair = [points[i : i + 2][np.argsort(points[i : i + 2, 0])] for i in (0, 3)]
            points = np.concatenate([pair[0], points[2:3], pair[1]])
            points[2] += self.random.normal(0, self.unsure, 2)
            found.append((points + 0.5) / crop.shape[0])
        return Output(np.array(found, np.float32))


class Found(Landmarker):
    """A landmarker whose detector knows."""

    def detect(self, pixels: np.ndarray) -> list[Box]:
        return [BOX] if pixels.any() else []


def test_all_views_agree_in_the_photograph() -> None:
    seen = views(Found(SeesDots()), Picture(photograph(), "rgb"), BOX)
    assert seen.shape == (18, 5, 2)
    assert np.abs(seen - DOTS).max() < 0.6
    assert np.ptp(seen, axis=0).max() > 0, "they are different views"


def test_a_point_that_views_disagree_about_is_left_empty() -> None:
    points = taught(Found(SeesDots(unsure=12.0)), photograph(), 0.03)
    assert points is not None
    assert np.isnan(points[2]).all() and np.abs(np.delete(points - DOTS, 2, 0)).max() < 0.3


def test_a_folder_becomes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    cv2.imwrite(str(tmp_path / "a.png"), photograph())
    cv2.imwrite(str(tmp_path / "nobody.png"), np.zeros((100, 100, 3), np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    table = tmp_path / "points.csv"
    monkeypatch.setattr(Landmarker, "load", lambda name: Found(SeesDots()))
    monkeypatch.setattr(sys, "argv", ["label_photographs.py", "large", str(tmp_path), "--output", str(table)])
    label_photographs.main()
    said = capsys.readouterr()
    assert "1 face, 0.0%" in said.out and "2 pictures without a face" in said.out and "broken.jpg" in said.err
    (row,) = csv.DictReader(table.open())
    assert row["image"] == "a.png" and float(row["x4"]) == pytest.approx(134, abs=0.3)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "in/a.png")
    packed = ["label_photographs.py", "large", str(tmp_path / "photos.zip"), "--output", str(table)]
    monkeypatch.setattr(sys, "argv", packed)
    label_photographs.main()
    assert [row["image"] for row in csv.DictReader(table.open())] == ["in/a.png"]
    monkeypatch.setattr(sys, "argv", ["label_photographs.py", "large", str(tmp_path / "a"), "--output", str(table)])
    with pytest.raises(FakeitError, match="a"):
        label_photographs.main()
