"""Every way to say where a face is: points, annotation, CSV, detector, whole picture; and which of several it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fakeit.pipelines.config import from_dict
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces import locate
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.flows import preprocess
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig
from fakeit.pipelines.machine import runners
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import read_shard

POINTS = np.array([[20, 20], [40, 22], [30, 30], [24, 42], [38, 41]], np.float32)


def _config(source: dict[str, Any]) -> PreprocessConfig:
    value = {
        "source": source,
        "crop": {"size": 32, "margin": 0.0},
        "split": {"val": 0.0, "test": 0.0},
        "store": {"max_rejected": 0.5},
    }
    return from_dict(value, PreprocessConfig, "a test")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    (folder / "images").mkdir(parents=True)
    rows = ["image," + ",".join(f"x{i},y{i}" for i in range(5))]
    for name in ("a", "b", "c"):
        cv2.imwrite(str(folder / f"images/{name}.png"), np.full((60, 80, 3), 120, np.uint8))
        rows.append(f"{name}.png," + ",".join(f"{v:g}" for v in POINTS.ravel()))
    (folder / "points.csv").write_text("\n".join(rows))
    return folder


def _make(faces: Path, source: dict[str, Any]) -> tuple[Manifest, dict[str, list[float]]]:
    dataset = str(faces.parent / "dataset")
    made = preprocess.preprocess(_config(source), str(faces), dataset, runners.in_processes(0), "overwrite").manifest
    rows = [read_shard(f"{dataset}/{s.path}", made.shape) for s in made.shards]
    return made, {i: box.tolist() for r in rows for i, box in zip(r["image_id"], r["box"], strict=True)}


def _source(**options: Any) -> dict[str, Any]:
    return {"kind": "folder", "options": {"scheme": "five", "points": "points.csv"}, **options}


def test_points_and_whole_picture(faces: Path) -> None:
    assert _make(faces, _source(box="landmarks"))[1]["images/a"] == [20, 20, 20, 22]
    assert _make(faces, _source(box="image"))[1]["images/a"] == [-0.5, -0.5, 80, 60]


def test_a_csv_by_path_or_name_and_the_face_of_the_points(faces: Path) -> None:
    (faces / "boxes.csv").write_text(
        "image,x,y,width,height\n"
        "images/a.png,1,1,9,9\nimages/a.png,18,17,25,27\n"  # the second is where the points are
        "b.png,19,18,24,25\n"
        "images/c.png,60,40,10,10\n"  # somebody else's face
    )
    made, boxes = _make(faces, _source(box="csv", boxes=str(faces / "boxes.csv")))
    assert boxes == {"images/a": [18, 17, 25, 27], "images/b": [19, 18, 24, 25]}
    assert [r.image_id for r in made.rejected] == ["images/c"]
    assert "1 faces here, none of them where the points are" in made.rejected[0].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,x,y\n", "expected the header image,x,y,width,height"),
        ("image,x,y,width,height\na.png,1,2,0,4\n", ":2: a box needs a width"),
        ("image,x,y,width,height\nz.png,1,2,3,4\n", "none of its 1 images is in"),
    ],
)
def test_a_bad_csv_is_named(faces: Path, text: str, words: str) -> None:
    (faces / "boxes.csv").write_text(text)
    with pytest.raises(FakeitError, match=words):
        _make(faces, _source(box="csv", boxes=str(faces / "boxes.csv")))


def test_conf_without_its_csv() -> None:
    with pytest.raises(FakeitError, match="needs both"):
        _config(_source(box="csv"))


def test_choice_among_boxes() -> None:
    boxes = [Box(0, 0, 10, 10), Box(18, 18, 26, 26)]
    assert locate.choose(boxes, POINTS, "x") == boxes[1]
    assert locate.choose(boxes, np.full((5, 2), np.nan), "x") == boxes[0]
    assert boxes[0].overlap(boxes[0]) == 1 and boxes[0].overlap(boxes[1]) == 0
    assert Box(0, 0, 10, 10).overlap(Box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert Box(0, 0, 10, 10).overlap(Box(20, 0, 10, 10)) == 0
    with pytest.raises(Rejected, match="no face"):
        locate.choose([], POINTS, "detector haar")


def test_detected_faces_without_points(shared: Path, tmp_path: Path) -> None:
    """Pictures without any points, FFHQ's case: the detector's best face is cropped, rows have no points."""
    for path in sorted((shared / "data/afw_68").glob("*.jpg"))[:6]:
        (tmp_path / path.name).symlink_to(path)
    config = _config({"kind": "folder", "box": "haar"})
    made = preprocess.preprocess(config, str(tmp_path), f"{tmp_path}/d", runners.in_processes(0)).manifest
    rows = read_shard(f"{tmp_path}/d/{made.shards[0].path}", made.shape)
    assert len(rows["image_id"]) + len(made.rejected) == 6 and len(rows["image_id"]) >= 3
    assert rows["landmarks"].shape[1:] == (0, 2) and rows["image"].std() > 20
    assert all("detector haar has no face here" in r.reason for r in made.rejected)


def test_a_larger_face_at_the_edge_is_not_the_subject() -> None:
    """Half of another person beside the one in the middle: seen in 3 to 4 % of AFW's and HELEN's pictures."""
    middle, beside = Box(270, 190, 100, 100), Box(520, 100, 170, 170)
    assert locate.most_prominent_first([beside, middle], 640, 480) == [middle, beside]
    third = Box(150, 120, 150, 150)  # a larger one that stands at a third of the picture is
    assert locate.most_prominent_first([middle, third], 640, 480) == [third, middle]
