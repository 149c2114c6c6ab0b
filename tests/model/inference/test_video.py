"""Faces through a video: followed, steadied, lost and found; files that play and files that break."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fakeit.model.inference.face_tracker import FaceTracker, OneEuro, VideoConfig
from fakeit.model.inference.filters import apply_filters, make_edit
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
from fakeit.model.inference.results import Face
from fakeit.model.inference.video import VideoReader, VideoWriter, run_video
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files import video_io
from fakeit.pipelines.files.pictures import expand
from tests.pattern_face import Finder, Reader, picture, placed


def landmarker() -> Landmarker:
    made = Landmarker(Reader(), LandmarkerConfig(detector="test"))
    made._detector = Finder()
    return made


def moving(frame: int) -> tuple[np.ndarray, list[np.ndarray]]:
    return picture([placed(80 + 5 * frame, 100 + 2 * frame, 1.4, 0.5 * frame)])


def write_video(path: Path, frames: list[np.ndarray], fps: float = 25) -> None:
    writer = VideoWriter(path, fps)
    for frame in frames:
        writer.write(frame)
    writer.close()


def test_between_detections_the_points_follow_the_face() -> None:
    made = landmarker()
    tracker = FaceTracker(made, VideoConfig(every=10, smooth=False))
    for frame in range(25):
        pixels, (true,) = moving(frame)
        (face,) = tracker.step(pixels, frame / 25)
        assert np.abs(face.points - true).max() < 0.7
    assert made._detector.calls == 3  # frames 0, 10 and 20
    assert {t.number for t in tracker.tracks} == {1}


def test_a_new_face_is_found_and_a_lost_one_dropped() -> None:
    tracker = FaceTracker(landmarker(), VideoConfig(every=5))
    one, two = placed(40, 100, 1.2), placed(380, 150, 1.3)
    counts = []
    for frame in range(24):
        pixels, _ = picture([one] if frame < 7 else [one, two] if frame < 14 else [two])
        counts.append(len(tracker.step(pixels, frame / 25)))
    assert counts[:10] == [1] * 10 and counts[10] == 2
    assert counts[14] == 1 and counts[-1] == 1  # the network itself says that there is no face
    assert len(tracker.tracks) == 1


def test_a_video_is_let_go_where_nobody_asks_for_more(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", [moving(i)[0] for i in range(6)])
    reader = VideoReader(str(tmp_path / "v.avi"))
    for _ in reader:
        break
    assert reader.timing.frames == 1 and not reader._frames._capture.isOpened()


def test_no_face_at_all() -> None:
    tracker = FaceTracker(landmarker())
    assert [tracker.step(np.zeros((120, 160, 3), np.uint8), f / 25) for f in range(12)] == [[]] * 12


def test_smoothing_steadies_a_still_face_and_hardly_lags_behind_a_moving_one() -> None:
    random = np.random.default_rng(3)
    still, moves = OneEuro(1.5, 6.0), OneEuro(1.5, 6.0)
    trembling, steadied, behind = [], [], []
    for frame in range(100):
        noise = random.normal(0, 0.5, (5, 2))
        trembling.append(noise)
        steadied.append(still(noise + 100, frame / 25, 100.0))
        place = np.full((5, 2), 8.0 * frame)
        behind.append(np.abs(moves(place, frame / 25, 100.0) - place).max())
    assert np.diff(steadied[10:], axis=0).std() < 0.45 * np.diff(trembling[10:], axis=0).std()
    assert behind[-1] < 8.0  # less than one frame


def test_a_video_file_goes_through_and_plays(tmp_path: Path) -> None:
    write_video(tmp_path / "in.avi", [moving(frame)[0] for frame in range(20)])
    result = run_video(landmarker(), str(tmp_path / "in.avi"), tmp_path / "out.mp4", VideoConfig(every=7))
    assert len(result.found) == 20 and result.note == "" and result.size == (640, 480)
    assert all(len(found.faces) == 1 for found in result.found)
    assert {"decode", "detect", "landmarks", "draw", "encode", "total"} <= set(result.milliseconds)
    played = list(VideoReader(str(tmp_path / "out.mp4")))
    assert len(played) == 20 and played[0][1].shape == (480, 640, 3)


def test_a_video_that_ends_early_says_so(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    write_video(tmp_path / "whole.avi", [random.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(40)])
    data, out = (tmp_path / "whole.avi").read_bytes(), str(tmp_path / "worn")
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    result = run_video(landmarker(), str(tmp_path / "cut.avi"))
    assert 0 < len(result.found) < 40 and "ended after" in result.note
    said = list(apply_filters(landmarker(), expand([str(tmp_path / "cut.avi")]), make_edit(landmarker(), ["hat"]), out))
    assert said[0].startswith(f"{out}/cut.mp4: {len(result.found)} frames") and said[1].strip() == result.note


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 50])
def test_what_is_no_video_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(FakeitError, match="x.mp4"):
        run_video(landmarker(), str(tmp_path / "x.mp4"))
    with pytest.raises(FakeitError, match="no such file"):
        run_video(landmarker(), str(tmp_path / "absent.mp4"))


def test_an_interrupt_ends_a_camera_well_and_a_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`predict` of a folder went on with the next picture, and said that the video had ended early."""
    write_video(tmp_path / "in.mp4", [moving(f)[0] for f in range(8)])
    shown, step, capture = list[int](), FaceTracker.step, cv2.VideoCapture

    def interrupted(tracker: FaceTracker, pixels: np.ndarray, seconds: float) -> list[Face]:
        shown.append(1)
        if len(shown) % 4 == 0:
            raise KeyboardInterrupt
        return step(tracker, pixels, seconds)

    monkeypatch.setattr(FaceTracker, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_video(landmarker(), str(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    monkeypatch.setattr(video_io.cv2, "VideoCapture", lambda *_: capture(str(tmp_path / "in.mp4")))
    assert len(run_video(landmarker(), 0, tmp_path / "out.mp4").found) == 3 and (tmp_path / "out.mp4").exists()


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(FakeitError, match="camera 97"):
        run_video(landmarker(), 97)


def test_frames_of_another_size_begin_anew_and_fit_the_file(tmp_path: Path) -> None:
    tracker = FaceTracker(landmarker(), VideoConfig(smooth=False))
    writer = VideoWriter(tmp_path / "out.mp4", 25)
    for frame, (width, height) in enumerate([(640, 480)] * 3 + [(500, 401)] * 3):
        pixels, (true,) = picture([placed(100, 90, 1.5)], width, height)
        (face,) = tracker.step(pixels, frame / 25)
        assert np.abs(face.points - true).max() < 0.5
        writer.write(pixels)
    writer.close()
    assert {pixels.shape for _, pixels in VideoReader(str(tmp_path / "out.mp4"))} == {(480, 640, 3)}
    with pytest.raises(FakeitError, match="must end in"):
        VideoWriter(tmp_path / "out.gif", 25)


def test_a_gap_in_the_times_is_shown_for_ten_seconds_once(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.avi", 25)
    for seconds in (0, 0.04, 1000, 1000.04, 1000.08):
        writer.write(np.zeros((64, 64, 3), np.uint8), seconds)
    writer.close()
    assert 250 <= len(list(VideoReader(str(tmp_path / "out.avi")))) <= 256


def test_real_clips_open(shared: Path) -> None:
    clips = sorted((shared / "data" / "videos").glob("*.mp4"))
    assert clips
    frames = VideoReader(str(clips[0]))
    assert frames.height == 720 and cv2.VideoCapture(str(clips[0])).isOpened()


def test_opencv_is_silenced_wherever_it_keeps_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.11 has cv2.setLogLevel, 4.14 cv2.utils.logging.setLogLevel."""
    from types import SimpleNamespace

    asked: list[int] = []
    newer = SimpleNamespace(utils=SimpleNamespace(logging=SimpleNamespace(setLogLevel=asked.append)))
    monkeypatch.setattr(video_io, "cv2", newer)
    video_io.silence()
    assert asked == [0]
