"""Boxes and points that are no face's: refused by one check, wherever they come from; and which face is the main."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces import detect, locate
from fakeit.pipelines.faces.augment import _jpeg
from fakeit.pipelines.faces.box import Box, check_box, check_points
from fakeit.pipelines.flows import preprocess
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SourceConfig, SplitConfig, StoreConfig
from fakeit.pipelines.machine import runners
from tests.pipelines.files.test_walking import put
from tests.pipelines.flows.test_books import HEADER

POINTS = np.array([(120, 110), (180, 112), (150, 140), (128, 170), (172, 171)], np.float32)
NONE = np.empty((0, 2), np.float32)


@pytest.mark.parametrize(
    ("box", "points", "words"),
    [
        ((100, 100, 0, 90), NONE, "2 pixels or more"),
        ((100, 100, -20, 90), NONE, "2 pixels or more"),
        ((200, 190, -100, -90), POINTS, "2 pixels or more"),
        ((100, 100, 1, 1), POINTS, "2 pixels or more"),
        ((float("nan"), 100, 90, 90), NONE, "finite"),
        ((100, 100, float("inf"), 90), NONE, "finite"),
        ((900, 900, 50, 50), NONE, "100% of it lies outside the 400×300"),
        ((100, 90, 200, 195), POINTS, "right and bottom edge"),
        ((10, 10, 20, 20), POINTS, "boxes away"),
        ((1e30, 0, 1e30, 5), NONE, "outside"),
    ],
)
def test_boxes_that_are_none(box: tuple[float, float, float, float], points: np.ndarray, words: str) -> None:
    with pytest.raises(Rejected, match=words):
        check_box(Box(*box), 400, 300, points, "box")


@pytest.mark.parametrize("box", [(100, 90, 100, 105), (115, 105, 70, 70), (-40, -30, 400, 300), (60, 60, 180, 180)])
def test_boxes_that_are_some(box: tuple[float, float, float, float]) -> None:
    assert check_box(Box(*box), 400, 300, POINTS, "box") == Box(*box)


def test_points_in_one_place_are_refused_for_every_box(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="within 2 pixels"):
        check_points(np.full((5, 2), 30.0))
    check_points(np.array([[1.0, 1], [1, 1], [np.nan, 1]]))  # two closed eyes of a profile may be
    put(tmp_path / "f", "a.png", "b.png")
    (tmp_path / "f/p.csv").write_text(HEADER + "a.png" + ",20,20" * 5 + "\n" + "b.png,5,5,30,6,18,20,8,30,28,31\n")
    for box in ("landmarks", "image"):
        options = {"scheme": "five", "points": "p.csv"}
        config = PreprocessConfig(
            source=SourceConfig("folder", box, options=options),  # type: ignore[arg-type]
            store=StoreConfig(max_rejected=0.6),
            split=SplitConfig(0, 0),
        )
        made = preprocess.preprocess(config, str(tmp_path / "f"), str(tmp_path / box), runners.in_processes(0))
        (rejected,) = made.manifest.rejected
        assert rejected.image_id == "a" and "within 2 pixels" in rejected.reason


def test_annotation_boxes_are_checked_before_they_are_stored(tmp_path: Path) -> None:
    put(tmp_path / "f", *(f"{name}.png" for name in "abcdef"))
    line = ",5,5,30,6,18,20,8,30,28,31\n"
    (tmp_path / "f/p.csv").write_text(HEADER + "".join(f"{name}.png{line}" for name in "abcdef"))
    boxes = ["a.png,2,2,32,32", "b.png,2,2,0,32", "c.png,30,30,-28,-28", "d.png,900,900,30,30", "e.png,1,1,2,2"]
    (tmp_path / "f/b.csv").write_text("image,x,y,width,height\n" + "\n".join(boxes) + "\n")
    options = {"scheme": "five", "points": "p.csv", "boxes": "b.csv"}
    config = PreprocessConfig(
        source=SourceConfig("folder", "annotation", options=options), store=StoreConfig(max_rejected=0.9)
    )
    made = preprocess.preprocess(config, str(tmp_path / "f"), str(tmp_path / "d"), runners.in_processes(0)).manifest
    reasons = {r.image_id: r.reason for r in made.rejected}
    assert sum(made.rows(split) for split in ("train", "val", "test")) == 1 and set(reasons) == set("bcdef")
    assert "b.csv:3: a box needs a width" in reasons["b"] and "boxes away" in reasons["e"]
    assert "no box in the annotation" in reasons["f"]


@pytest.mark.parametrize("as_option", [True, False])
def test_every_box_without_a_picture_is_counted(as_option: bool, tmp_path: Path) -> None:
    """Rows of one absent picture were counted as one, and `!a.png` was looked for as `a.png`."""
    put(tmp_path / "f", "!a.png")
    rows = ["!a.png,2,2,30,30", "gone.png,2,2,30,30", "gone.png,3,3,30,30"]
    (tmp_path / "f/b.csv").write_text("\n".join(["image,x,y,width,height", *rows]) + "\n")
    source = SourceConfig("folder", "annotation", options={"boxes": "b.csv"})
    if not as_option:
        source = SourceConfig("folder", "csv", str(tmp_path / "f/b.csv"))
    made = preprocess.preprocess(
        PreprocessConfig(source=source), str(tmp_path / "f"), str(tmp_path / "d"), runners.in_processes(0)
    )
    assert made.tally.line().startswith("found 3 = 1 used + 0 rejected + 2 unmatched (2 boxes without a picture: gone")
    assert "b.csv:4: no such picture" in made.tally.line()


@pytest.mark.parametrize("as_option", [True, False])
def test_a_wrong_row_beside_a_good_one_costs_its_picture_and_is_told(as_option: bool, tmp_path: Path) -> None:
    put(tmp_path / "f", "a.png", "b.png")
    rows = ["a.png,2,2,30,30", "a.png,2,2,nan,30", "b.png,2,2,30,30"]
    (tmp_path / "f/b.csv").write_text("\n".join(["image,x,y,width,height", *rows]) + "\n")
    source = SourceConfig("folder", "annotation", options={"boxes": "b.csv"})
    if not as_option:
        source = SourceConfig("folder", "csv", str(tmp_path / "f/b.csv"))
    config = PreprocessConfig(source=source, store=StoreConfig(max_rejected=0.5))
    made = preprocess.preprocess(config, str(tmp_path / "f"), str(tmp_path / "d"), runners.in_processes(0))
    assert made.tally.line().startswith("found 2 = 1 used + 1 rejected + 0 unmatched")
    assert "b.csv:3: a box needs a width" in made.manifest.rejected[0].reason


def test_one_rule_says_which_face_is_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small face in the background that the detector is surer of is not the subject, in preprocessing either."""
    small, large = Box(10, 10, 30, 30), Box(120, 80, 160, 160)
    found = [SimpleNamespace(box=small, score=0.999), SimpleNamespace(box=large, score=0.9)]
    monkeypatch.setattr(locate, "_detector", lambda name, smallest: SimpleNamespace(detect=lambda image: found))
    monkeypatch.setattr(locate, "box_fit", lambda name, scheme: SimpleNamespace(apply=lambda box: box))
    boxes = locate.detected("test", np.zeros((300, 400, 3), np.uint8), "none")
    assert locate.choose(boxes, NONE, "detector test") == large


def test_the_smallest_face_is_an_option() -> None:
    assert detect.detector("haar", 0.03).smallest == 0.03  # type: ignore[attr-defined]
    assert detect.Mtcnn.__init__.__defaults__[0] == 0.05  # type: ignore[index]
    with pytest.raises(FakeitError, match="smallest face 7"):
        detect.detector("haar", 7)


def test_a_detector_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: np.ndarray) -> list[object]:
        raise RuntimeError("out of memory\nsomewhere")

    monkeypatch.setattr(locate, "_detector", lambda name, smallest: SimpleNamespace(detect=fail))
    with pytest.raises(Rejected, match="detector mtcnn failed here .out of memory somewhere"):
        locate.detected("mtcnn", np.zeros((99, 99, 3), np.uint8), "none")


def test_jpeg_augmentation_knows_red_from_blue() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[8:24, 8:24, 0] = 250
    wanted = cv2.imdecode(cv2.imencode(".jpg", red[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 10])[1], cv2.IMREAD_COLOR)
    assert np.array_equal(_jpeg(red, 10), wanted[..., ::-1])
    assert _jpeg(red[..., :1], 10).shape == (32, 32, 1)
