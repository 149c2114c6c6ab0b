"""Three lines: points of a picture, a batch, a video; and what they turn into."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import fakeit
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.inference.output_formats import write
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.sources.point_files import read_pts
from tests.pattern_face import Finder, Reader, picture, placed


@pytest.fixture
def landmarker() -> Landmarker:
    made = Landmarker(Reader(), LandmarkerConfig(detector="test"))
    made._detector = Finder()
    return made


def test_a_picture_s_faces_turn_into_what_others_read(landmarker: Landmarker, tmp_path: Path) -> None:
    image, truth = picture([placed(60, 60, 1.3), placed(330, 200, 1.6)])
    write_image(str(tmp_path / "two.png"), image)
    faces = landmarker(tmp_path / "two.png")
    assert isinstance(faces, fakeit.Faces) and len(faces) == 2 and isinstance(faces[0], fakeit.Face)
    points = faces.to_numpy()
    assert points.shape == (2, 70, 2) and points.dtype == np.float32
    assert np.abs(points[0] - truth[1]).max() < 1
    table = faces.to_pandas()
    assert list(table.columns) == ["image", "face", "point", "name", "x", "y", "confidence"]
    assert len(table) == 140 and table.iloc[75]["name"] == "jaw_5" and table.iloc[75]["face"] == 1
    assert np.allclose(table[["x", "y"]].to_numpy().reshape(2, 70, 2), points)
    assert json.loads(faces.to_json())["pictures"][0]["image"] == "two.png"
    write([faces.result], str(tmp_path / "two.json"), "json", faces.scheme)
    assert faces.to_json() == (tmp_path / "two.json").read_text(), "to the byte as a file that predict writes"
    assert [a["num_keypoints"] for a in faces.to_coco()["annotations"]] == [70, 70]
    faces.to_pts(tmp_path / "second.pts", 1)
    assert np.allclose(read_pts(str(tmp_path / "second.pts"), 70), points[1], atol=1e-3)
    with pytest.raises(FakeitError, match="no face 2; 2 were found"):
        faces.to_pts(tmp_path / "third.pts", 2)
    drawn = faces.draw(tmp_path / "drawn.png")
    assert np.array_equal(read_image(str(tmp_path / "drawn.png")), drawn)
    assert (drawn != image).any() and np.array_equal(faces.pixels, image), "the picture itself stays as it was"
    assert len(faces.poses()) == 2


def test_no_face_is_an_empty_list_of_the_same_kind(landmarker: Landmarker) -> None:
    faces = landmarker(np.zeros((100, 100, 3), np.uint8))
    assert faces == [] and faces.to_numpy().shape == (0, 70, 2) and faces.to_pandas().empty and faces.poses() == []


def test_a_batch_gives_what_single_pictures_give(landmarker: Landmarker) -> None:
    images = [picture([placed(60 + 20 * i, 60, 1.2)] * (i != 2))[0] for i in range(5)]
    found = list(landmarker.batch(images, size=2))
    assert [len(f) for f in found] == [1, 1, 0, 1, 1]
    for one, image in zip(found, images, strict=True):
        assert np.allclose(one.to_numpy(), landmarker(image).to_numpy(), atol=1e-4)


def test_an_unreadable_picture_of_a_batch_costs_none_before_it(landmarker: Landmarker, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    image = picture([placed(60, 60, 1.2)])[0]
    found = []
    with pytest.raises(Rejected, match="broken.jpg"):
        for faces in landmarker.batch([image, image, tmp_path / "broken.jpg", image], size=3):
            found.append(faces)
    assert [len(faces) for faces in found] == [1, 1]


def test_a_video_is_an_iterator_of_frames(landmarker: Landmarker, tmp_path: Path) -> None:
    path = str(tmp_path / "moves.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (640, 480))
    for index in range(5):
        writer.write(cv2.cvtColor(picture([placed(100 + 3 * index, 100, 1.5)])[0], cv2.COLOR_RGB2BGR))
    writer.release()
    frames = list(landmarker.video(path, every=2))
    assert [len(f) for f in frames] == [1] * 5
    assert [round(f.seconds, 2) for f in frames] == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert frames[3].image == "moves.avi#000003" and frames[3].pixels.shape == (480, 640, 3)
