"""Exports of annotation tools as sources: the same three points come out of all of them, to a hundredth of a pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.flows.tally import unmatched_of
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.sources import open_source, read_sample

POINTS = {"left_eye": (30.0, 40.0), "right_eye": (70.0, 42.0), "nose": (50.5, 60.25)}  # pixel centres, as here


def coco() -> Any:
    keypoints = [v for x, y in POINTS.values() for v in (x + 0.5, y + 0.5, 2)]
    hidden = [*keypoints[:3], keypoints[3], keypoints[4], 1, 0, 0, 0]
    faces = [
        {"id": 1, "image_id": 7, "category_id": 1, "keypoints": keypoints, "bbox": [20.5, 30.5, 60, 50]},
        {"id": 2, "image_id": 7, "category_id": 1, "keypoints": hidden},
    ]
    categories = [{"id": 1, "name": "face", "keypoints": list(POINTS)}]
    return {"images": [{"id": 7, "file_name": "a.png"}], "annotations": faces, "categories": categories}


def cvat() -> str:
    one = "".join(f'<points label="{n}" points="{x + 0.5},{y + 0.5}" occluded="0"/>' for n, (x, y) in POINTS.items())
    two = '<points label="left_eye" points="30.5,40.5" occluded="1"/><points label="nose" points="1,1" outside="1"/>'
    skeletons = f'<skeleton label="face">{one}</skeleton><skeleton label="face">{two}</skeleton>'
    return f'<annotations><version>1.1</version><image id="0" name="a.png">{skeletons}</image></annotations>'


def label_studio() -> Any:
    result = [
        {
            "type": "keypointlabels", "original_width": 100, "original_height": 80,
            "value": {"x": x + 0.5, "y": (y + 0.5) / 0.8, "width": 0.5, "keypointlabels": [name]},
        }
        for name, (x, y) in POINTS.items()
    ]  # fmt: skip
    return [{"data": {"img": "/data/upload/1/0a1b2c3d-a.png"}, "annotations": [{"result": result}]}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(str(tmp_path / "a.png"), np.zeros((80, 100, 3), np.uint8))
    write_image(str(tmp_path / "unlabelled.png"), np.zeros((80, 100, 3), np.uint8))
    return tmp_path


def write(folder: Path, kind: str) -> None:
    made = {"coco": coco, "cvat": cvat, "label_studio": label_studio}[kind]()
    name = "points.xml" if kind == "cvat" else "points.json"
    (folder / name).write_text(made if isinstance(made, str) else json.dumps(made))


@pytest.mark.parametrize(("kind", "faces"), [("coco", 2), ("cvat", 2), ("label_studio", 1)])
def test_points_come_out_where_they_were_put(kind: str, faces: int, folder: Path) -> None:
    write(folder, kind)
    source = open_source(kind, str(folder))
    samples = source.samples()
    assert [s.id for s in samples] == ["a", "a_face2"][:faces]
    made = scheme(source.scheme)
    assert made.names == tuple(POINTS) and made.flip == (1, 0, 2), "mirror pairs by left and right"
    found = source.read(samples[0])
    assert np.allclose(found.landmarks, list(POINTS.values()), atol=0.01)
    assert found.visibility.tolist() == [2, 2, 2]
    assert source.image(samples[0]).shape == (80, 100, 3)
    if kind == "coco":
        assert found.box == (20.0, 30.0, 60.0, 50.0)
    if faces == 2:
        second = source.read(samples[1])
        assert second.visibility[2] == 0 and np.isnan(second.landmarks[2]).all()
        assert 1 in second.visibility.tolist(), "hidden points are labelled as hidden"


def test_a_scheme_orders_the_points_and_must_know_them(folder: Path) -> None:
    write(folder, "coco")
    (folder / "own.toml").write_text('name = "own"\npoints = ["nose", "right_eye", "left_eye"]\n')
    source = open_source("coco", str(folder), scheme=str(folder / "own.toml"))
    assert np.allclose(source.read(source.samples()[0]).landmarks[0], POINTS["nose"])
    (folder / "own.toml").write_text('name = "own2"\npoints = ["nose", "mouth"]\n')
    (folder / "own2.toml").write_text((folder / "own.toml").read_text())
    with pytest.raises(FakeitError, match=r"points.json: a.png: point 'left_eye' is not in the scheme \(nose, mouth\)"):
        open_source("coco", str(folder), scheme=str(folder / "own2.toml")).samples()


def test_what_is_no_export_is_named(folder: Path) -> None:
    with pytest.raises(FakeitError, match=r"0 files end in .json; say which"):
        open_source("coco", str(folder))
    with pytest.raises(FakeitError, match=r"gone.json: cannot be read as a coco export; source.options.points names"):
        open_source("coco", str(folder), points="gone.json")
    (folder / "points.json").write_text('{"images": []}')
    with pytest.raises(FakeitError, match=r"points.json: not a coco export"):
        open_source("coco", str(folder))
    (folder / "points.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>')
    with pytest.raises(FakeitError, match=r"points.xml: not a cvat export.*entities"):
        open_source("cvat", str(folder))


def test_uploads_are_found_under_the_names_that_they_had(folder: Path) -> None:
    """Label Studio keeps "a photo (1).png" as "0a1b2c3d-a_photo_1.png"; the folder has it as it was."""
    (folder / "a.png").rename(folder / "a photo (1).png")
    made = label_studio()
    made[0]["data"]["img"] = "/data/upload/1/0a1b2c3d-a_photo_1.png"
    (folder / "points.json").write_text(json.dumps(made))
    assert [s.id for s in open_source("label_studio", str(folder)).samples()] == ["a photo (1)"]
    made[0]["data"]["img"] = "/data/upload/1/elsewhere.png"
    (folder / "points.json").write_text(json.dumps(made))
    with pytest.raises(FakeitError, match=r"2 pictures has points in .*the first picture there is '.*elsewhere.png'"):
        open_source("label_studio", str(folder)).samples()


def test_every_picture_and_face_is_a_sample_or_is_counted(folder: Path) -> None:
    made = coco()
    made["images"].append({"id": 8, "file_name": "gone.png"})
    made["annotations"].append({**made["annotations"][0], "image_id": 8})
    (folder / "points.json").write_text(json.dumps(made))
    (folder / "._a.png").write_bytes(b"left behind by macOS")
    (folder / "._points.json").write_bytes(b"likewise")
    samples = open_source("coco", str(folder)).samples()
    assert [s.id for s in samples] == ["a", "a_face2"]
    left = {(entry.kind, entry.name.split(" ")[0]) for entry in unmatched_of(samples)}
    assert left == {
        ("pictures without points", "unlabelled.png"),
        ("faces without a picture", "gone.png"),
        ("names passed over", "._a.png"),
    }


def test_faces_of_one_picture_share_a_split_and_pictures_of_one_stem_are_two(folder: Path) -> None:
    write_image(str(folder / "a.jpg"), np.zeros((80, 100, 3), np.uint8))
    made = coco()
    made["images"].append({"id": 8, "file_name": "a.jpg"})
    made["annotations"].append({**made["annotations"][0], "image_id": 8})
    (folder / "points.json").write_text(json.dumps(made))
    samples = open_source("coco", str(folder)).samples()
    ids = [(s.id, s.group) for s in samples]
    assert ids == [("a.png", "a.png"), ("a.png_face2", "a.png"), ("a.jpg", "a.jpg")]


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [
        ("coco", "b/1.png", "b/1"),
        ("coco", "photos/b/1.png", "b/1"),
        ("label_studio", "/data/local-files/?d=b/1.png", "b/1"),
        ("label_studio", "/data/local-files/?d=photos/b/1.png", "b/1"),
        ("coco", "1.png", ""),
        ("label_studio", "/data/upload/3/0a1b2c3d-1.png", ""),
    ],
)
def test_points_go_to_the_picture_that_is_meant_or_to_none(kind: str, name: str, wanted: str, folder: Path) -> None:
    for part in ("a", "b"):
        write_image(str(folder / part / "1.png"), np.zeros((80, 100, 3), np.uint8))
    made = coco() if kind == "coco" else [*label_studio(), *label_studio()]
    if kind == "coco":
        made["images"].append({"id": 8, "file_name": name})
        made["annotations"].append({**made["annotations"][0], "image_id": 8})
    else:
        made[1]["data"]["img"] = name
    (folder / "points.json").write_text(json.dumps(made))
    samples = open_source(kind, str(folder)).samples()
    assert [s.id for s in samples if not s.id.startswith("a_") and s.id != "a"] == [wanted] * bool(wanted)
    refused = [u.name for u in unmatched_of(samples) if u.kind == "faces that may be of several pictures"]
    assert len(refused) == (not wanted) and all("a/1.png or b/1.png" in line for line in refused)


def test_a_face_of_a_box_alone_does_not_cost_the_export(folder: Path) -> None:
    made = coco()
    made["images"].append({"id": 8, "file_name": "unlabelled.png"})
    made["annotations"].append({"id": 3, "image_id": 8, "category_id": 1, "bbox": [1, 2, 3, 4]})
    (folder / "points.json").write_text(json.dumps(made))
    samples = open_source("coco", str(folder)).samples()
    assert [s.id for s in samples] == ["a", "a_face2"]
    assert [u.name for u in unmatched_of(samples)] == ["unlabelled.png"]


@pytest.mark.parametrize("kind", ["cvat", "cvat with several places", "label_studio"])
def test_a_point_that_stands_twice_costs_its_face(kind: str, folder: Path) -> None:
    """Of two faces of one picture, and of a shape of several places, one face was made whose points were of both."""
    tool = kind.split(" ")[0]
    if tool == "cvat":
        shape = '<points label="left_eye" points="30.5,40.5"/><points label="nose" points="51,60.75"/>'
        twice = '<points label="left_eye" points="70.5,42.5"/>' if tool == kind else ""
        text = shape.replace('30.5,40.5"', '30.5,40.5;31,41"') if not twice else shape + twice
        (folder / "points.xml").write_text(f'<annotations><image id="0" name="a.png">{text}</image></annotations>')
    else:
        made = label_studio()
        made[0]["annotations"][0]["result"] += made[0]["annotations"][0]["result"][:1]
        (folder / "points.json").write_text(json.dumps(made))
    source = open_source(tool, str(folder))
    with pytest.raises(
        Rejected, match=r"points\.(xml|json): .*a\.png: point 'left_eye' stands twice; a face has each once"
    ):
        read_sample(source, source.samples()[0])


def test_a_signed_address_is_found_and_a_task_without_a_picture_is_named(folder: Path) -> None:
    """Both ended in "RuntimeError: generator raised StopIteration"."""
    made = label_studio()
    made[0]["data"]["img"] = "https://host/bucket/a.png?X-Amz-Expires=3600&X-Amz-Signature=0a/1b"
    (folder / "points.json").write_text(json.dumps(made))
    assert [s.id for s in open_source("label_studio", str(folder)).samples()] == ["a"]
    (folder / "points.json").write_text(json.dumps([*made, {**made[0], "data": {"text": "hello"}}]))
    with pytest.raises(FakeitError, match=r"points.json: not a label_studio .*task 2: no picture in its data, 'hello'"):
        open_source("label_studio", str(folder))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("image_id", 9, "annotation 2: image_id 9 is none of the export's"),
        ("category_id", 3, "annotation 2: category_id 3 is none of the export's"),
        ("keypoints", [1, 2, 2], "annotation 2: 3 numbers as 'keypoints', expected 9"),
    ],
)
def test_an_annotation_that_does_not_fit_is_named(key: str, value: Any, said: str, folder: Path) -> None:
    made = coco()
    made["annotations"][1][key] = value
    (folder / "points.json").write_text(json.dumps(made))
    with pytest.raises(FakeitError, match=f"points.json: not a coco export .*{said}"):
        open_source("coco", str(folder)).samples()


def test_the_category_that_has_keypoints_makes_the_scheme(folder: Path) -> None:
    made = coco()
    made["categories"].insert(0, {"id": 5, "name": "hat"})
    (folder / "points.json").write_text(json.dumps(made))
    assert scheme(open_source("coco", str(folder)).scheme).names == tuple(POINTS)
    made["categories"].pop()
    (folder / "points.json").write_text(json.dumps(made))
    with pytest.raises(FakeitError, match="not a coco export with keypoints"):
        open_source("coco", str(folder))
