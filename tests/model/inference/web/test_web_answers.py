"""The web demo's work: what is answered to good and bad uploads, and a worker that can be ended."""

from __future__ import annotations

import json
import os
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pattern_face import Finder, Reader, picture, placed

from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.inference.video import VideoWriter
from fakeit.model.inference.web import answers, choices
from fakeit.model.inference.web import workers as processes
from fakeit.model.inference.web.answers import Answer, Job
from fakeit.model.inference.web.workers import Limits, Workers
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.draw import write_image


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Landmarker(Reader(), LandmarkerConfig(detector="test"))
    made._detector = Finder()
    monkeypatch.setattr(answers, "loaded", lambda model, detector, adapter: made)


def job(folder: Path, name: str, **more: object) -> Job:
    (folder / "out").mkdir(exist_ok=True)
    return Job(str(folder / name), str(folder / "out"), "m.onnx", "test", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", [answers.POINTS, "glasses", "blur"])
def test_a_picture_is_answered_drawn_timed_and_as_files(what: str, patched: None, tmp_path: Path) -> None:
    image, _ = picture([placed(90, 80, 1.5)], 400, 360)
    write_image(str(tmp_path / "a.png"), image)
    made = answers.answer(job(tmp_path, "a.png", what=what))
    assert made.line.startswith("1 face in 400×360 pixels") and "ms" in made.line
    assert Path(made.drawn).read_bytes()[:4] == b"\x89PNG"
    assert [Path(f).name for f in made.downloads] == ["points.json", "points.pts"]
    assert len(json.loads(Path(made.downloads[0]).read_text())["pictures"][0]["faces"]) == 1
    assert made.faces[0][0] == 1 and made.faces[0][1] > 50


def test_several_faces_are_numbered_and_zipped(patched: None, tmp_path: Path) -> None:
    image, _ = picture([placed(40, 60, 1), placed(240, 60, 1)], 460, 300)
    write_image(str(tmp_path / "a.png"), image)
    made = answers.answer(job(tmp_path, "a.png"))
    if len(made.faces) < 2:
        pytest.skip("the pattern's finder saw one face only")
    assert [row[0] for row in made.faces] == [1, 2]
    assert len(zipfile.ZipFile(made.downloads[1]).namelist()) == 2


def test_bad_uploads_get_a_clear_line(patched: None, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(Rejected, match="bad.jpg"):
        answers.answer(job(tmp_path, "bad.jpg"))
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(Rejected, match="HEIC picture, which is not read; save or send it as JPEG"):
        answers.answer(job(tmp_path, "phone.heic"))
    with pytest.raises(FakeitError, match="can be decoded"):
        answers.answer(job(tmp_path, "bad.jpg", video=True))
    write_image(str(tmp_path / "none.png"), np.zeros((60, 60, 3), np.uint8))
    assert answers.answer(job(tmp_path, "none.png")).line.startswith("no face found")


def test_a_video_is_followed_into_a_film_that_browsers_play(patched: None, tmp_path: Path) -> None:
    film = VideoWriter(tmp_path / "a.avi", 10)
    for step in range(12):
        film.write(picture([placed(60 + 2 * step, 80, 1.5)], 400, 360)[0])
    film.close()
    made = answers.answer(job(tmp_path, "a.avi", video=True))
    assert made.line.startswith("12 frames of 400×360") and "ms a frame" in made.line
    assert Path(made.drawn).read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML: WebM


def test_models_to_pick_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run1").mkdir()
    (tmp_path / "run1" / "best.pt").touch()
    (tmp_path / "a.onnx").touch()
    (tmp_path / "a.adapter-ibug68.npz").touch()
    assert set(choices.known_models([str(tmp_path)])) - {choices.THE_BOX} == {"a.onnx", "run1/best.pt"}
    assert choices.adapters(str(tmp_path / "a.onnx")) == [choices.OWN_POINTS, "ibug68"]
    with pytest.raises(FakeitError, match="--models /nosuch: no such file or folder"):
        choices.known_models(["/nosuch"])
    monkeypatch.setattr(choices, "BOX", tmp_path / "absent")
    with pytest.raises(FakeitError, match="no model to show"):
        choices.known_models([])


def pretend(job: Job) -> Answer:
    """A worker's work whose file name says how it goes wrong."""
    name = Path(job.file).name
    if name == "slow":
        time.sleep(60)
    if name == "crash":
        os.abort()
    if name == "large":
        np.ones(1 << 30)
    if name == "strange":
        raise RuntimeError("a library's own")
    if name == "rejected":
        raise Rejected("slow: not a picture")
    return Answer(job.file, str(os.getpid()), [], [])


@pytest.mark.fault
def test_one_bad_file_neither_holds_nor_ends_the_others() -> None:
    workers = Workers(1, Limits(picture_s=1, load_s=60, memory=1 << 30), pretend)
    try:
        first = workers.ask(Job("good", "", "")).line
        assert workers.ask(Job("good", "", "")).line == first, "a worker is kept"
        with pytest.raises(Rejected, match="not a picture"):
            workers.ask(Job("rejected", "", ""))
        with pytest.raises(FakeitError, match=r"could not be read \(RuntimeError\)"):
            workers.ask(Job("strange", "", ""))
        with pytest.raises(FakeitError, match="more memory than is allowed"):
            workers.ask(Job("large", "", ""))
        assert workers.ask(Job("good", "", "")).line == first, "none of these needs a new one"
        began = time.monotonic()
        with pytest.raises(FakeitError, match="it took more than 1 s and was given up"):
            workers.ask(Job("slow", "", ""))
        assert time.monotonic() - began < 10
        second = workers.ask(Job("good", "", "")).line
        assert second != first
        with pytest.raises(FakeitError, match="or broke its reader"):
            workers.ask(Job("crash", "", ""))
        assert workers.ask(Job("good", "", "")).line not in (first, second)
    finally:
        workers.close()


@pytest.mark.parametrize(("hard", "wanted"), [(resource.RLIM_INFINITY, 4 << 30), (1 << 30, 1 << 30)])
def test_limits_are_set_but_where_macos_refuses_them(monkeypatch: pytest.MonkeyPatch, hard: int, wanted: int) -> None:
    asked: list[tuple[int, int]] = []

    def refuse(kind: int, limits: tuple[int, int]) -> None:
        asked.append(limits)
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (hard, hard))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(processes.sys, "platform", "darwin")
    processes._limit(resource.RLIMIT_DATA, 4 << 30)
    monkeypatch.setattr(processes.sys, "platform", "linux")
    with pytest.raises(ValueError, match="exceeds"):
        processes._limit(resource.RLIMIT_DATA, 4 << 30)
    assert asked == [(wanted, wanted)] * 2


def test_a_worker_is_replaced_after_its_jobs() -> None:
    workers = Workers(1, Limits(jobs=2), pretend)
    try:
        lines = [workers.ask(Job("good", "", "")).line for _ in range(4)]
    finally:
        workers.close()
    assert lines[0] == lines[1] != lines[2] == lines[3]
