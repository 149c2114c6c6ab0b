"""`jobs/predict.py` on what people really give it: one clear line or an empty row, never a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakeit.jobs import predict as job
from fakeit.model.inference.batch import Summary, predict
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.inference.output_formats import as_text, choose_format, write
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks
from fakeit.pipelines.faces.box_table import read_boxes
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.files.image_io import read_image
from fakeit.pipelines.files.pictures import expand
from tests.containers import write_mp4
from tests.pattern_face import Finder, Reader, picture, placed

ROOT = Path(__file__).resolve().parents[2]


def landmarker() -> Landmarker:
    made = Landmarker(Reader(), LandmarkerConfig(detector="test"))
    made._detector = Finder()
    return made


def face_picture() -> tuple[np.ndarray, np.ndarray]:
    image, (true,) = picture([placed(90, 80, 1.5)], 400, 360)
    return image, true


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder of pictures as they come, good and bad."""
    folder = tmp_path / "odd"
    folder.mkdir()
    image, _ = face_picture()
    write_image(str(folder / "good.png"), image)
    write_image(str(folder / "empty_scene.png"), np.zeros((200, 200, 3), np.uint8))
    write_image(str(folder / "one_pixel.png"), np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite(str(folder / "deep.png"), (image[..., ::-1].astype(np.uint16) * 257))
    with_alpha = np.dstack([image[..., ::-1], np.full(image.shape[:2], 90, np.uint8)])
    cv2.imwrite(str(folder / "alpha.png"), with_alpha)
    Image.fromarray(image).convert("CMYK").save(folder / "cmyk.jpg")
    frames = [Image.fromarray(image), Image.fromarray(image[::-1])]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    whole = (folder / "good.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_bytes(b"this is no picture")
    (folder / "nothing.png").write_bytes(b"")
    tall = io.BytesIO()
    Image.new("1", (20000, 20000)).save(tall, "PNG")
    (folder / "huge.png").write_bytes(tall.getvalue())
    return folder


def test_every_picture_has_one_row_whatever_it_is(odd: Path) -> None:
    summary = Summary()
    found = {f.image: f for f in predict(landmarker(), expand([str(odd)]), summary)}
    assert set(found) == set(os.listdir(odd)) and summary.pictures == len(found)
    assert len(found["good.png"].faces) == 1
    for name in ("deep.png", "alpha.png"):
        assert np.abs(found[name].faces[0].points - found["good.png"].faces[0].points).max() < 0.5, name
    for name in ("empty_scene.png", "one_pixel.png"):
        assert not found[name].faces and not found[name].problem
    for name in ("truncated.png", "text.jpg", "nothing.png", "huge.png"):
        assert name in found[name].problem and "\n" not in found[name].problem
    assert not found["animated.gif"].problem  # its first frame
    assert not found["cmyk.jpg"].problem
    assert summary.unread == 4 and "4 could not be read" in summary.line()
    table = list(csv.reader(io.StringIO(as_text(found.values(), "csv", "face70"))))
    assert len(table) == len(found) + 1 and all(len(row) == 141 for row in table)
    assert set(next(row for row in table if row[0] == "text.jpg")[1:]) == {""}


def test_a_picture_turned_by_its_exif_is_read_upright(tmp_path: Path) -> None:
    image, _ = face_picture()
    turned = Image.fromarray(np.rot90(image).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it upright
    turned.save(tmp_path / "turned.jpg", exif=exif.tobytes(), quality=95)
    assert read_image(str(tmp_path / "turned.jpg")).shape == image.shape


def test_many_faces_and_the_count_that_is_kept(tmp_path: Path) -> None:
    image, truths = picture([placed(10, 20, 0.8), placed(250, 120, 1.9)], 600, 420)
    write_image(str(tmp_path / "two.png"), image)
    one, both = Summary(), Summary()
    (kept,) = predict(landmarker(), expand([str(tmp_path / "two.png")]), one)
    assert len(kept.faces) == 1 and one.left_out == 1 and "--faces 0" in one.line()
    assert np.abs(kept.faces[0].points - truths[1]).max() < 0.5
    (found,) = predict(landmarker(), expand([str(tmp_path / "two.png")]), both, faces=0)
    assert len(found.faces) == 2 and both.left_out == 0


@pytest.mark.parametrize(("said", "faces"), [([], 9), (["--faces", "1"], 2), (["--faces", "0"], 18)])
def test_the_count_that_is_kept_holds_for_videos_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], faces: int
) -> None:
    image, _ = picture([placed(130 * (n % 5), 130 * (n // 5)) for n in range(9)], 640, 260)
    write_image(str(tmp_path / "nine.png"), image)
    write_mp4(tmp_path / "nine.mp4", [image])
    monkeypatch.setattr(Landmarker, "load", lambda *arguments: landmarker())
    asked = ["--images", str(tmp_path), "--output", str(tmp_path / "o.csv"), *said]
    job.main(job.parser().parse_args(asked))
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + faces


def test_given_boxes_are_used(tmp_path: Path) -> None:
    image, true = face_picture()
    write_image(str(tmp_path / "a.png"), image)
    write_image(str(tmp_path / "b.png"), image)
    box = from_landmarks(true)
    (tmp_path / "boxes.csv").write_text(f"image,x,y,width,height\na.png,{box.x},{box.y},{box.width},{box.height}\n")
    made = landmarker()
    summary = Summary()
    found = list(predict(made, expand([str(tmp_path / "*.png")]), summary, read_boxes(str(tmp_path / "boxes.csv"))))
    assert made._detector.calls == 0
    assert np.abs(found[0].faces[0].points - true).max() < 0.5 and not found[1].faces and summary.without == 1


@pytest.mark.parametrize("text", ["", "image,x,y,w,h\n", "a.png,1,2,3,4\n"])
def test_a_table_of_boxes_without_its_header_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(FakeitError, match="boxes.csv:1: expected the header"):
        read_boxes(str(path))


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("a.png,1,2,3", ":2: expected a name and four"),
        ("a.png,1,2,x,4", ":2: expected a name and four"),
        ("a.png,1,2,0,4", "a box needs a width and a height of 2"),
        ("a.png,1,2,nan,4", "finite"),
        ("a.png,1,inf,40,40", "finite"),
        ("a.png,9000,9000,40,40", "100% of it lies outside"),
    ],
)
def test_a_wrong_box_costs_its_own_picture(row: str, wanted: str, tmp_path: Path) -> None:
    image, true = face_picture()
    for name in ("a.png", "b.png"):
        write_image(str(tmp_path / name), image)
    box = from_landmarks(true)
    good = f"b.png,{box.x},{box.y},{box.width},{box.height}\nnobody.png,1,2,30,40\n"
    (tmp_path / "boxes.csv").write_text(f"image,x,y,width,height\n{row}\n{good}")
    summary = Summary()
    bad, whole = predict(
        landmarker(), expand([str(tmp_path / "*.png")]), summary, read_boxes(str(tmp_path / "boxes.csv"))
    )
    assert wanted in bad.problem and not bad.faces and summary.unread == 1
    assert len(whole.faces) == 1 and not whole.problem
    assert f"1 boxes without a picture: nobody.png ({tmp_path}/boxes.csv:4: no such picture)" in summary.line()


def test_what_is_asked_for(tmp_path: Path) -> None:
    image, _ = face_picture()
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(str(tmp_path / name), image)
    (tmp_path / "a" / "note.txt").write_text("x")
    assert [p.name for p in expand([str(tmp_path)])] == ["a/1.png", "a/2.png", "b/1.png"]
    assert [p.name for p in expand([str(tmp_path / "*" / "1.png")])] == ["a/1.png", "b/1.png"]
    assert [p.name for p in expand(["-"], [f"{tmp_path}/a/2.png\n", "\n"])] == ["2.png"]
    for wrong in ("absent.png", "absent/*.png"):
        with pytest.raises(FakeitError, match="absent"):
            expand([str(tmp_path / wrong)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FakeitError, match="holds no pictures"):
        expand([str(tmp_path / "empty")])
    with pytest.raises(FakeitError, match="stdin"):
        expand(["-"], [])


def test_formats(tmp_path: Path) -> None:
    image, true = face_picture()
    write_image(str(tmp_path / "a.png"), image)
    found = list(predict(landmarker(), expand([str(tmp_path / "a.png")]), Summary()))
    plain = json.loads(as_text(found, "json", "face70"))
    assert np.allclose(plain["pictures"][0]["faces"][0]["points"], true, atol=0.5)
    coco = json.loads(as_text(found, "coco", "face70"))
    points = np.array(coco["annotations"][0]["keypoints"]).reshape(70, 3)
    assert np.allclose(points[:, :2] - 0.5, true, atol=0.5) and (points[:, 2] == 2).all()
    assert coco["categories"][0]["keypoints"][68] == "left_pupil"
    write(found, str(tmp_path / "out"), "pts", "face70")
    lines = (tmp_path / "out" / "a.pts").read_text().split("\n")
    assert lines[1] == "n_points: 70" and np.allclose([float(v) for v in lines[3].split()], true[0] + 1, atol=0.5)
    assert choose_format("x.csv", None) == "csv" and choose_format("folder", None) == "pts"
    with pytest.raises(FakeitError, match="--format"):
        choose_format("x.cvs", None)
    for name in ("talk.mp4", "me.PNG"):
        with pytest.raises(FakeitError, match="points drawn go to --draw FOLDER, or as a film"):
            choose_format(name, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(FakeitError, match="cannot be written"):
        write(found, str(tmp_path / "file" / "x.csv"), "csv", "face70")


def test_drawn_pictures_keep_their_folders(tmp_path: Path) -> None:
    image, _ = face_picture()
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write_image(str(tmp_path / "in" / "deep" / "a.png"), image)
    list(predict(landmarker(), expand([str(tmp_path / "in")]), Summary(), draw=tmp_path / "drawn"))
    drawn = read_image(str(tmp_path / "drawn" / "deep" / "a.png"))
    assert drawn.shape == image.shape and (drawn != image).any()


def test_a_box_outside_the_picture_gives_points_and_no_error() -> None:
    made = landmarker()
    faces = made.predict_boxes(np.zeros((60, 60, 3), np.uint8), [Box(500, 500, 40, 40), Box(-90, 10, 5000, 4000)])
    assert len(faces) == 2 and all(np.isfinite(f.points).all() for f in faces)


@pytest.mark.parametrize(
    ("box", "words"),
    [((float("nan"), 1, 50, 50), "box 1 is x nan.*four finite"), ((9, 9, 40, 0), "height 0; width and height must be")],
)
def test_a_box_that_is_none_is_refused_instead_of_giving_points(
    box: tuple[float, float, float, float], words: str
) -> None:
    with pytest.raises(Rejected, match=words):
        landmarker()(np.zeros((60, 60, 3), np.uint8), [Box(9, 9, 40, 40), Box(*box)])


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--images", "absent.jpg", "--output", "o.csv"], "absent.jpg"),
        (["--output", "o.csv"], "which pictures"),
        (["--model", "absent.onnx", "--images", str(ROOT / "jobs" / "*.py"), "--output", "o.csv"], "absent.onnx"),
        (["--images", ".", "--output", "o.xyz", "--model", "absent.onnx"], "format"),
        (["--image", ".", "--output", "o.csv"], "--images"),
    ],
)
def test_the_job_says_one_line_and_leaves_with_2(options: list[str], wanted: str, tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "predict.py"), *options], capture_output=True, text=True, cwd=tmp_path
    )
    assert made.returncode == 2 and "Traceback" not in made.stderr
    lines = [line for line in made.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and wanted in lines[0]
