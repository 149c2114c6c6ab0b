"""The remaining doors: Spark's five hundred lines as one, Kaggle's header, COCO's half pixel, locale, who is who."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakeit.model.inference.adapter import identity
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import Sample, kaggle, open_source
from tests.pipelines.files.test_walking import put, put_faces
from tests.pipelines.sources.test_kaggle_source import write_set

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.spark
def test_sparks_five_hundred_lines_are_one(spark: Any) -> None:
    def fails(task: int) -> int:
        if task == 1:
            raise FakeitError("detector mtcnn needs torch; haar does without")
        return 1 // (2 - task)

    for tasks, words in (([0, 1], "detector mtcnn needs torch"), ([0, 2], "on Spark: ZeroDivisionError: integer div")):
        with pytest.raises(FakeitError, match=words) as caught:
            runners.on_spark(spark)(fails, tasks, lambda ended: None)
        assert "\n" not in str(caught.value)


def test_kaggles_header_is_read_without_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, 6)
    source = open_source("kaggle", str(tmp_path))
    sample = source.samples()[0]
    kaggle._header.cache_clear()
    kaggle._column_order.cache_clear()
    monkeypatch.setattr(kaggle, "read_file", lambda file: pytest.fail("the whole file was read"))
    assert source.read(sample).landmarks.shape == (15, 2) and source.image(sample).shape == (96, 96, 3)


def test_rows_of_a_table_and_frames_of_videos_are_told_apart() -> None:
    one, two = Sample("train-00001", "/d/training.csv"), Sample("train-00002", "/d/training.csv")
    assert identity(one) != identity(two)
    assert identity(Sample("401/000003", "401/vid.avi#3")) != identity(Sample("402/000003", "402/vid.avi#3"))
    assert identity(Sample("x/1", "/a/x/1.jpg")) == identity(Sample("1", "/b/1.jpg")) == "1.jpg"  # wherever it lies


def test_spark_submit_keeps_names_without_a_locale(tmp_path: Path) -> None:
    if not (ROOT / ".venv").exists():
        pytest.skip("needs the environment of `make setup`")
    shown = tmp_path / "spark" / "bin" / "spark-submit"
    shown.parent.mkdir(parents=True)
    shown.write_text('#!/bin/sh\necho "charmap $(locale charmap)"\n')
    shown.chmod(0o755)
    bare = {k: v for k, v in os.environ.items() if k != "LANG" and not k.startswith("LC_")}
    command = [str(ROOT / "spark-submit.sh"), "jobs/preprocess.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=bare | {"SPARK_HOME": str(tmp_path / "spark")})
    assert "charmap UTF-8" in done.stdout, done.stderr


def test_a_mistake_of_ours_is_one_line_too(tmp_path: Path) -> None:
    put_faces(tmp_path / "faces", "1")
    code = "import sys; sys.argv = ['x']\nfrom fakeit.jobs.cli import Parser, run\nrun(lambda a: 1 // 0, Parser())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ZeroDivisionError: integer division") and "FAKEIT_TRACE=1" in done.stderr
    more = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"FAKEIT_TRACE": "1"}
    )
    assert "Traceback" in more.stderr


def test_the_job_prints_its_books(tmp_path: Path) -> None:
    put_faces(tmp_path / "faces", *map(str, range(5)))
    put(tmp_path / "faces", "9.PNG", "._1.jpg")
    with open(os.fsencode(tmp_path / "faces") + b"/gr\xf6\xdfe.jpg", "wb") as file:
        file.write(b"x")
    command = [sys.executable, "jobs/preprocess.py", "--config", "conf/preprocess/300w.toml", "--workers", "0"]
    command += ["--input", str(tmp_path / "faces"), "--output", str(tmp_path / "d")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (
        "found 8 = 5 used + 0 rejected + 3 unmatched (2 pictures without points: 9.PNG, gr\\xf6\\xdfe.jpg; 1 names"
        in done.stdout
    )
