"""Rendered faces where a task may run twice at once, be killed anywhere, and end after all is done."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakeit.pipelines.flows import face_attempts, synthesize
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.synth.config import SynthesisConfig
from fakeit.pipelines.synth.face import Face, render

CONFIG = SynthesisConfig()
HERE = runners.in_processes(0)


def make(output: Path, runner: Any = HERE, count: int = 3, **more: Any) -> None:
    synthesize.synthesize(CONFIG, count, 64, 1, str(output), runner, aside=True, **more)


def hashes(folder: Path) -> dict[str, str]:
    """Of every file but the record of how the folder was made."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != synthesize.RECORD]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("whole")
    synthesize.synthesize(CONFIG, 3, 64, 1, str(folder), HERE)
    return hashes(folder)


def altered(index: int, *rest: Any) -> Face:
    """A face as another processor might draw it."""
    face = render(index, *rest)
    return replace(face, image=255 - face.image)


def test_a_loser_that_ends_after_the_commit_changes_nothing(
    tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()
    losers: list[threading.Thread] = []

    def slowly(index: int, *rest: Any) -> Face:
        if threading.current_thread() not in losers:
            return render(index, *rest)
        begun.set()
        released.wait(60)
        return altered(index, *rest)

    def twice(function: Callable[[Any], Any], tasks: Sequence[Any], progress: Callable[[int], None]) -> list[Any]:
        if not losers:  # the renders; the renames come later
            losers.append(threading.Thread(target=function, args=(tasks[0],), daemon=True))
            losers[0].start()
            assert begun.wait(60)
        return HERE(function, tasks, progress)

    monkeypatch.setattr(synthesize, "render", slowly)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # its folder is gone
    make(tmp_path / "faces", twice)
    assert hashes(tmp_path / "faces") == whole
    released.set()
    losers[0].join(60)
    assert hashes(tmp_path / "faces") == whole
    assert not (tmp_path / "faces" / face_attempts.FOLDER).exists()


def test_what_a_loser_leaves_is_no_face_and_goes_with_the_next_run(tmp_path: Path, whole: dict[str, str]) -> None:
    make(tmp_path)
    task = synthesize.RenderTask(0, 3, 2, 64, CONFIG)
    place = face_attempts.begin(str(tmp_path), 0)  # begun before the commit, written after
    synthesize.write_face(render(0, 2, task.config, 64), str(tmp_path / face_attempts.FOLDER / place), 0)
    seen = open_source("face_synthetics", str(tmp_path)).samples()
    assert [sample.id for sample in seen] == ["000000", "000001", "000002"]
    make(tmp_path)
    assert hashes(tmp_path) == whole


@pytest.mark.parametrize("renames", [1, 6, 12])
def test_a_commit_that_is_killed_goes_on_without_a_face_drawn_again(
    tmp_path: Path, whole: dict[str, str], renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two renames; another whole attempt lies there, which must not be mixed into the first's faces."""
    synthesize._claim(str(tmp_path), CONFIG, 64, 1, False)
    task, put_over, done = synthesize.RenderTask(0, 3, 1, 64, CONFIG), face_attempts.put_over, list[str]()
    attempt = synthesize.render_aside(task, str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(synthesize, "render", altered)
        synthesize.render_aside(task, str(tmp_path))

    def some(old: str, new: str) -> None:
        if len(done) == renames:
            raise KeyboardInterrupt
        put_over(old, new)
        done.append(new)

    with monkeypatch.context() as patch:
        patch.setattr(face_attempts, "put_over", some)
        with pytest.raises(KeyboardInterrupt):
            face_attempts.put_in_place(attempt, str(tmp_path), folders=False)

    def never(*_: Any) -> Face:
        raise AssertionError("a face is drawn again")

    monkeypatch.setattr(synthesize, "render", never)
    make(tmp_path)
    assert hashes(tmp_path) == whole


def test_attempts_that_are_not_whole_or_of_others_are_told_apart(tmp_path: Path) -> None:
    """A job that was killed while it drew; another job draws other faces into the same folder meanwhile."""
    synthesize._claim(str(tmp_path), CONFIG, 64, 1, False)
    for start in (0, 50):
        place = face_attempts.begin(str(tmp_path), start)
        synthesize.write_face(render(start, 1, CONFIG, 64), str(tmp_path / face_attempts.FOLDER / place), start)
    other = next((tmp_path / face_attempts.FOLDER).glob("00000050.*"))
    make(tmp_path)
    assert [path.name for path in (tmp_path / face_attempts.FOLDER).iterdir()] == [other.name]
    assert len(list(tmp_path.glob("*_ldmks.txt"))) == 3


def test_renaming_twice_is_renaming_once_and_a_lost_face_is_named(tmp_path: Path, whole: dict[str, str]) -> None:
    attempt = synthesize.render_aside(synthesize.RenderTask(0, 3, 1, 64, CONFIG, folders=True), str(tmp_path))
    for _ in range(2):
        face_attempts.put_in_place(attempt, str(tmp_path), folders=True)
    found = {name.partition("/")[2]: value for name, value in hashes(tmp_path).items() if name.startswith("0000/")}
    assert found == whole
    (tmp_path / "0000" / "000001_ldmks.txt").unlink()
    with pytest.raises(face_attempts.FakeitError, match="face 1 has vanished"):
        face_attempts.put_in_place(attempt, str(tmp_path), folders=True)
