"""ProgressBar where there is no terminal: plain lines with an estimate, or JSON, or nothing."""

from __future__ import annotations

import json

import pytest

from fakeit.pipelines import progress


def test_lines_with_an_estimate_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for _ in progress.progress(range(40), "predict", "pictures"):
        now[0] += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "predict: 10 of 40 pictures (25 %), 1.0 a second, 30 s left"
    assert len(lines) == 4


def test_no_rate_before_the_first_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = progress.ProgressBar("preprocess", 24, "images")
    now[0] = 50.0
    shown.step(0)  # as Spark is asked how far it is
    assert capsys.readouterr().err == "preprocess: 0 of 24 images (0 %)\n"


@pytest.mark.parametrize(("how", "lines"), [("none", 0), ("json", 2)])
def test_as_json_and_not_at_all(
    how: progress.How, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    progress.show(how)
    try:
        shown = progress.ProgressBar("train", 100, "steps", done=20)
        for _ in range(2):
            now[0] += 11
            shown.step(10)
    finally:
        progress.show("auto")
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(said) == lines
    if said:
        assert said[1] == {"what": "train", "done": 40, "total": 100, "unit": "steps", "left_s": 66.0, "note": ""}


@pytest.mark.parametrize(("seconds", "said"), [(5, "5 s"), (300, "5 min"), (9000, "2.5 h"), (400_000, "4.6 days")])
def test_durations_as_people_say_them(seconds: float, said: str) -> None:
    assert progress.duration(seconds) == said


def test_training_says_what_is_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    from fakeit.model.training.console import estimate, whole_run

    assert estimate(12.5, 59) == "estimate: 12 min for the 59 epochs to come"
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    epoch = progress.ProgressBar("epoch 1/30", 1000, "images")
    assert whole_run(epoch, 29) == "", "nobody knows yet"
    now[0] = 10.0
    epoch.step(100)
    assert whole_run(epoch, 29) == "all epochs: 50 min left"
