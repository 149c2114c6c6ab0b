"""What `predict` and `filters` write: never over what they read, never outside, each face once, and as they go."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakeit.jobs import video as video_job
from fakeit.model.inference import batch, filters
from fakeit.model.inference import video as videos
from fakeit.model.inference.batch import Summary, predict
from fakeit.model.inference.face_tracker import FaceTracker, VideoConfig
from fakeit.model.inference.filters import apply_filters
from fakeit.model.inference.landmarker import Landmarker
from fakeit.model.inference.output_formats import PARTIAL, ResultWriter, as_text, write
from fakeit.model.inference.results import Face, ImageResult, draw_faces
from fakeit.model.inference.video import VideoReader, run_video
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.files.outputs import Sources
from fakeit.pipelines.files.pictures import expand
from tests.containers import slowed, turned, write_mp4
from tests.jobs.test_predict_inputs import ROOT, face_picture, landmarker
from tests.pattern_face import picture, placed

FORMATS = [("csv", "o.csv"), ("json", "o.json"), ("coco", "o.json"), ("pts", "points")]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    image, _ = face_picture()
    for name in ("a.png", "b.png"):
        write_image(str(make(tmp_path / "photos") / name), image)
    write_mp4(tmp_path / "photos" / "talk.mp4", [image[:340, :400]] * 12)
    return tmp_path / "photos"


def make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def held(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_drawing_into_the_folder_of_the_inputs_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    before = held(photos)
    for folder in (photos, tmp_path / "link", photos / ".." / "photos"):
        with pytest.raises(FakeitError, match="is an input and would be destroyed; choose another folder"):
            list(predict(landmarker(), expand([str(photos)]), Summary(), draw=folder))
        with pytest.raises(FakeitError, match="is an input and would be destroyed"):
            list(apply_filters(landmarker(), expand([str(photos)]), lambda pixels, faces: pixels, str(folder)))
        with pytest.raises(FakeitError, match="is an input and would be destroyed"):
            run_video(landmarker(), str(photos / "talk.mp4"), folder / "talk.mp4")
    assert held(photos) == before


def test_the_points_of_a_film_do_not_cost_it_and_stand_as_they_are_found(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`video talk.mp4 --output talk.mp4` put its points in the video's place; no frame was written before the last."""
    made = landmarker()
    monkeypatch.setattr(Landmarker, "load", lambda *arguments: made)
    video, before = str(photos / "talk.mp4"), held(photos)

    def filmed(output: Path) -> None:
        said = [video, "--film", str(tmp_path / "film.mp4"), "--output", str(output), "--format", "csv"]
        video_job.main(video_job.parser().parse_args(said))

    with pytest.raises(FakeitError, match="talk.mp4: is an input and would be destroyed"):
        filmed(photos / "talk.mp4")
    assert held(photos) == before and not (tmp_path / "film.mp4").exists()
    filmed(tmp_path / "o.csv")
    rows = (tmp_path / "o.csv").read_text().splitlines()
    assert len(rows) == 1 + len(list(VideoReader(str(tmp_path / "film.mp4"))))
    shown, step = list[int](), FaceTracker.step

    def ends(tracker: FaceTracker, pixels: np.ndarray, seconds: float) -> list[Face]:
        shown.append(1)
        if len(shown) == 3:
            raise RuntimeError("the network fell over")
        return step(tracker, pixels, seconds)

    monkeypatch.setattr(FaceTracker, "step", ends)
    with pytest.raises(RuntimeError):
        filmed(tmp_path / "again.csv")
    assert (tmp_path / "again.csv.partial").read_text().splitlines() == rows[:3]


@pytest.mark.fault
@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EPERM])
def test_a_disk_that_takes_nothing_ends_filters_and_drawing_in_one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Filters left every picture out, one by one, with "OSError"."""

    def refuse(path: str, image: np.ndarray) -> None:
        raise OSError(number, os.strerror(number), path)

    pictures = expand([str(photos / "*.png")])
    for module in (filters, batch):
        monkeypatch.setattr(module, "write_image", refuse)
    said = rf"worn/a.png: cannot be written \(\[Errno {number}\] {os.strerror(number)}"
    with pytest.raises(FakeitError, match=said):
        list(apply_filters(landmarker(), pictures, lambda pixels, faces: pixels, str(tmp_path / "worn")))
    with pytest.raises(FakeitError, match=said):
        list(predict(landmarker(), pictures, Summary(), draw=tmp_path / "worn"))
    (tmp_path / "a file").touch()
    with pytest.raises(FakeitError, match="a file: is a file; name a folder"):
        list(apply_filters(landmarker(), pictures, lambda pixels, faces: pixels, str(tmp_path / "a file")))


def test_the_face_to_swap_with_is_an_input_too(photos: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "out") / "a.png"
    other.write_bytes((photos / "b.png").read_bytes())
    with pytest.raises(FakeitError, match="out/a.png: is an input and would be destroyed"):
        next(apply_filters(landmarker(), expand([str(photos / "a.png")]), draw_faces, str(other.parent), str(other)))
    assert other.read_bytes() == (photos / "b.png").read_bytes()


def test_a_file_for_a_folder_and_a_folder_for_a_file_are_told_before_the_first_picture(
    photos: Path, tmp_path: Path
) -> None:
    """The one cost each picture, said to be unreadable; the other was told when all had been found."""
    (tmp_path / "file").touch()
    with pytest.raises(FakeitError, match=r"output .*file/drawn: .*/file is a file; name a folder"):
        next(predict(landmarker(), expand([str(photos)]), Summary(), draw=tmp_path / "file" / "drawn"))
    with pytest.raises(FakeitError, match=r"output .*/file: is a file; name a folder"):
        ResultWriter(str(tmp_path / "file"), "pts", "face70")
    with pytest.raises(FakeitError, match=r"output .*/o.csv: is a folder; name a file"):
        ResultWriter(str(make(tmp_path / "o.csv")), "csv", "face70")
    with pytest.raises(FakeitError, match=r"video .*/o.mp4: is a folder; name a file"):
        run_video(landmarker(), str(photos / "talk.mp4"), make(tmp_path / "o.mp4"))


def test_where_pictures_are_drawn_is_settled_before_the_first(photos: Path, tmp_path: Path) -> None:
    """A link that leads out of the folder ended `predict` and `filters` in the middle."""
    (make(tmp_path / "in" / "b") / "1.png").write_bytes((photos / "a.png").read_bytes())
    (tmp_path / "in" / "a.png").write_bytes((photos / "a.png").read_bytes())
    (make(tmp_path / "drawn") / "b").symlink_to(tmp_path)
    pictures = expand([str(tmp_path / "in")])
    assert len(pictures) == 2
    with pytest.raises(FakeitError, match="leads out of"):
        next(predict(landmarker(), pictures, Summary(), draw=tmp_path / "drawn"))
    with pytest.raises(FakeitError, match="leads out of"):
        next(apply_filters(landmarker(), pictures, lambda pixels, faces: pixels, str(tmp_path / "drawn")))
    assert [p.name for p in (tmp_path / "drawn").iterdir()] == ["b"]


def test_points_beside_pictures_are_not_written_over(photos: Path) -> None:
    (photos / "b.pts").write_text("the truth")
    names = [p.name for p in expand([str(photos / "*.png")])]
    sources = Sources(p.location for p in expand([str(photos / "*.png")]))
    with pytest.raises(FakeitError, match="b.pts: stands already, beside the pictures"):
        ResultWriter(str(photos), "pts", "face70", names, sources)
    with pytest.raises(FakeitError, match="a.png: is an input"):
        ResultWriter(str(photos / "a.png"), "csv", "face70", names, sources)
    assert (photos / "b.pts").read_text() == "the truth"


def test_names_in_an_archive_do_not_lead_out_of_the_output(tmp_path: Path) -> None:
    image, _ = face_picture()
    data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("../../x.png", "/abs.png", "in/ok.png"):
            archive.writestr(name, data)
    out = make(tmp_path / "deep" / "out")
    summary = Summary()
    found = list(predict(landmarker(), expand([str(tmp_path / "x.zip")]), summary, draw=out / "drawn"))
    write(found, str(out / "points"), "pts", "face70")
    lines = list(apply_filters(landmarker(), expand([str(tmp_path / "x.zip")]), lambda p, f: p, str(out / "worn")))
    assert summary.unread == 2 and sum("leads out of the archive" in line for line in lines) == 2
    made = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} - {"x.zip"}
    assert made == {"deep/out/drawn/in/ok.png", "deep/out/points/in/ok.pts", "deep/out/worn/in/ok.png"}


def face(shift: float = 0) -> Face:
    return Face(np.full((70, 2), 10 + shift, np.float32), np.ones(70, np.float32), Box(1, 2, 30, 40), "face70")


def test_every_face_has_a_file_of_its_own(tmp_path: Path) -> None:
    results = [
        ImageResult("team.jpg", [face(1), face(2)]),
        ImageResult("team_2.jpg", [face(3)]),
        ImageResult("a/1.jpg", [face(4)]),
        ImageResult("b/1.jpg", [face(5)]),
        ImageResult("c.jpg", [face(6)]),
        ImageResult("c.png", [face(7)]),
    ]
    write(results, str(tmp_path), "pts", "face70")
    first = {
        str(p.relative_to(tmp_path)): float(p.read_text().splitlines()[3].split()[0]) - 11
        for p in tmp_path.rglob("*.pts")
    }
    assert sorted(first.values()) == [1, 2, 3, 4, 5, 6, 7]
    assert first["team.pts"] == 1 and first["team_2.pts"] == 3 and first["c.jpg.pts"] == 6 and first["a/1.pts"] == 4


@pytest.mark.parametrize(("kind", "name"), FORMATS)
def test_results_are_written_as_they_are_found(tmp_path: Path, kind: str, name: str) -> None:
    results = [ImageResult("a.jpg", [face(1), face(2)], 50, 60), ImageResult("b.jpg", [], problem="no picture")]
    output = tmp_path / name

    def ending() -> Iterator[ImageResult]:
        yield results[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ResultWriter(str(output), kind, "face70", ["a.jpg", "b.jpg"]) as writer:
        for found in ending():
            writer.add(found)
    if kind == "pts":
        assert len(list(output.iterdir())) == 2
    else:
        assert "a.jpg" in Path(f"{output}{PARTIAL}").read_text() and not output.exists()
    write(results, str(output), kind, "face70")
    if kind != "pts":
        text = output.read_text()
        assert text == as_text(results, kind, "face70")
        assert text.count("b.jpg") == 1 and (kind == "csv" or json.loads(text))
        assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_coco_boxes_have_the_half_pixel_of_their_points() -> None:
    made = json.loads(as_text([ImageResult("a.jpg", [face()], 50, 60)], "coco", "face70"))["annotations"][0]
    assert made["bbox"] == [1.5, 2.5, 30, 40] and made["keypoints"][:2] == [10.5, 10.5]


def test_what_goes_wrong_with_one_picture_stays_with_it(photos: Path) -> None:
    made, summary = landmarker(), Summary()
    run = made.backend.run
    calls: list[int] = []

    def failing(crops: np.ndarray) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("the network\nfell over")
        return run(crops)

    made.backend.run = failing  # type: ignore[method-assign,assignment]
    first, second = predict(made, expand([str(photos / "*.png")]), summary)
    assert first.problem == "a.png: RuntimeError: the network fell over" and len(second.faces) == 1
    assert summary.unread == 1 and not summary.nothing_read


def test_what_goes_wrong_with_one_video_stays_with_it(photos: Path, tmp_path: Path) -> None:
    """A frame that the network fell over ended `predict`, and what was found before it was not put in place."""
    made, summary = landmarker(), Summary()
    run, calls = made.backend.run, list[int]()

    def failing(crops: np.ndarray) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the network\nfell over")
        return run(crops)

    made.backend.run = failing  # type: ignore[method-assign,assignment]
    found = list(predict(made, expand([str(photos)])[::-1], summary, draw=tmp_path / "drawn"))
    assert [f.problem for f in found if f.problem] == ["talk.mp4: RuntimeError: the network fell over"]
    assert [f.image for f in found[-2:]] == ["b.png", "a.png"] and found[-1].faces and summary.unread == 1
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["a.png", "b.png"]


def test_a_phones_video_is_drawn_upright_and_as_long_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, (true,) = picture([placed(60, 60, 1.1)], 400, 300)
    flat = np.ascontiguousarray(np.rot90(image))  # as the sensor lies; the container says: turn by 90°
    path = slowed(turned(write_mp4(tmp_path / "phone.mp4", [flat] * 40, 20), 90), 40, 20, 3)
    result = run_video(landmarker(), str(path), tmp_path / "drawn.mp4", VideoConfig(smooth=False))
    assert len(result.found) == 40 and not result.note and result.size == (400, 300)
    assert np.abs(result.found[0].faces[0].points - true).max() < 6  # the codec blurs the pattern
    drawn = VideoReader(str(tmp_path / "drawn.mp4"))
    seconds = [time for time, _ in drawn]
    assert (drawn.width, drawn.height) == (400, 300)
    assert abs(seconds[-1] - 3.85) < 0.2  # 20 frames of 1/20 s and 20 of 3/20 s
    assert not list(tmp_path.glob("*.partial.*")) and videos.LONGEST == 10


def test_frames_are_called_by_their_videos_own_path(tmp_path: Path) -> None:
    image, _ = face_picture()
    for name in ("a", "b"):
        write_mp4(make(tmp_path / "in" / name) / "1.mp4", [image[:340]] * 3)
    found = [f.image for f in predict(landmarker(), expand([str(tmp_path / "in")]), Summary(), draw=tmp_path / "drawn")]
    assert found == [f"{n}/1.mp4#{i:06d}" for n in "ab" for i in range(3)]
    assert (tmp_path / "drawn/a/1.mp4").is_file() and (tmp_path / "drawn/b/1.mp4").is_file()


@pytest.mark.parametrize("job", ["predict", "filters"])
def test_where_nothing_could_be_read_the_job_has_failed(tmp_path: Path, job: str) -> None:
    (make(tmp_path / "in") / "a.jpg").write_bytes(b"<html>")
    with open(bytes(tmp_path / "in") + b"/gr\xf6.jpg", "wb") as file:
        file.write(b"<html>")
    more = ["--output", "o.csv"] if job == "predict" else ["--output", "out", "--filter", "hat"]
    command = [sys.executable, str(ROOT / "jobs" / f"{job}.py"), "--images", "in", "--detector", "haar", *more]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path)
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"none of 2 pictures" in done.stderr
    assert b"a.jpg: not an image that can be decoded" in done.stdout
    if job == "predict":
        rows = list(csv.reader((tmp_path / "o.csv").read_text().splitlines()))
        assert [row[0] for row in rows] == ["image", "a.jpg", "gr\\xf6.jpg"]
