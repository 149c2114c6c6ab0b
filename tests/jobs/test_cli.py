"""What every job has in common: options, exit codes, one line for the user."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from fakeit.jobs.cli import Parser, next_step, run
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.machine import environment

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"numpy", "cv2", "onnxruntime", "pyarrow", "pandas", "torch", "pyspark", "mlflow"}
JOBS = sorted(p for p in (ROOT / "jobs").glob("*.py") if "__main__" in p.read_text())


def parser() -> Parser:
    p = Parser(prog="job", epilog="example:\n  job --output A \\\n      --count 3")
    p.add_argument("--output", required=True)
    p.add_argument("--count", type=int, default=1)
    return p


def leave(main: Callable[[argparse.Namespace], int | None], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["job", *arguments])
    with pytest.raises(SystemExit) as left:
        run(main, parser())
    assert isinstance(left.value.code, int)
    return left.value.code


def test_a_list_in_several_parts_is_all_of_them() -> None:
    p = Parser(prog="job")
    p.add_argument("--images", nargs="+")
    p.add_argument("--boxes", nargs="*", default=["true", "detector"])
    given = p.parse_args(["--images", "a", "b", "--boxes", "true", "--images", "c"])
    assert (given.images, given.boxes) == (["a", "b", "c"], ["true"])
    assert p.parse_args([]).boxes == ["true", "detector"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "x", "--cuont", "3"], "unknown option '--cuont'; did you mean '--count'?"),
        (["--output", "x", "--outputs=y"], "unknown option '--outputs=y'; did you mean '--output'?"),
        (["--out", "x"], "--output"),
        (["--output", "x", "--count", "three"], "three"),
        (["--output", "x", "stray"], "stray"),
        (["--output", "", "--count", "3"], "error: --output: an empty text (a variable not set?)"),
        (["--count", "3", "--output="], "error: --output: an empty text"),
        (["--count", "3"], "the following arguments are required: --output; as in job --output A --count 3"),
    ],
)
def test_a_wrong_option_is_one_line_and_2(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(lambda _: None, monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1


def test_the_example_is_printed_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    assert "example:\n  job --output A \\\n      --count 3" in capsys.readouterr().out


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: argparse.Namespace) -> None:
        raise FakeitError("conf a.toml: 'b' is 3, expected text")

    def stop(_: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    assert leave(lambda _: None, monkeypatch, "--output", "x") == 0
    assert leave(lambda a: 3 if a.output == "x" else 0, monkeypatch, "--output", "x") == 3
    assert leave(refuse, monkeypatch, "--output", "x") == 2
    assert capsys.readouterr().err == "error: conf a.toml: 'b' is 3, expected text\n"
    assert leave(stop, monkeypatch, "--output", "x") == 130


def test_a_bug_is_one_line_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave(lambda _: 1 // 0, monkeypatch, "--output", "x") == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ZeroDivisionError: ") and "FAKEIT_TRACE=1 shows the trace" in told
    monkeypatch.setenv("FAKEIT_TRACE", "1")
    with pytest.raises(ZeroDivisionError):
        run(lambda _: 1 // 0, parser())


def test_the_environment_is_checked_first(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def mismatch() -> None:
        raise FakeitError("pyarrow 25 is installed")

    monkeypatch.setattr(environment, "check", mismatch)
    assert leave(lambda _: pytest.fail("main was called"), monkeypatch, "--output", "x") == 2
    assert capsys.readouterr().err == "error: pyarrow 25 is installed\n"


@pytest.mark.parametrize("job", JOBS, ids=lambda p: p.stem)
def test_every_job_helps_from_any_folder(job: Path, tmp_path: Path) -> None:
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    asked = [sys.executable, "-X", "importtime", job, "--help"]
    shown = subprocess.run(asked, cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "usage:" in shown.stdout
    loaded = {line.split("|")[-1].strip() for line in shown.stderr.splitlines()}
    assert "os" in loaded and not loaded & HEAVY, "help is there at once: imports are in main"
    assert len(job.read_text().splitlines()) < 120


@pytest.mark.parametrize(
    ("job", "option"),
    [
        ("preprocess", "--preview=0"),  # was taken for no preview: the whole dataset was made
        ("preprocess", "--workers=-1"),
        ("synthesize", "--first=-3"),  # was rendered, as -00003.png
        ("inspect_data", "--limit=-1"),
        ("compare", "--workers=0"),
        ("evaluate", "--limit=0"),
    ],
)
def test_a_number_that_means_nothing_is_refused(job: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        import_module(f"fakeit.jobs.{job}").parser().parse_args([option])
    assert f"argument {option.split('=')[0]}: '{option.split('=')[1]}' is no whole number of" in capsys.readouterr().err


def test_what_to_do_next_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    next_step("python jobs/predict.py --model {} --images DIR", "my runs/best.pt")
    assert capsys.readouterr().out == "next: python jobs/predict.py --model 'my runs/best.pt' --images DIR\n"


def submit(*arguments: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "spark-submit.sh", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
    )


def test_spark_submit_names_what_is_wrong(tmp_path: Path) -> None:
    unknown = submit("--cluster", "yarm", "jobs/preprocess.py")
    assert unknown.returncode == 2
    assert unknown.stderr == "error: no conf/spark/yarm.conf; there are: kubernetes local standalone yarn\n"
    assert "--cluster NAME" in submit("--help").stdout
    assert submit().returncode == 2
    for option in ("--cluster", "--master", "--py-files", "--archives"):  # but for the first: 1, without a word
        alone = submit(option)
        assert (alone.returncode, alone.stderr) == (2, f"error: {option} needs a value\n")
    wrong_java = submit("jobs/preprocess.py", JAVA_HOME=str(tmp_path))
    assert wrong_java.returncode == 2 and "holds no Java" in wrong_java.stderr
    shutil.copy(ROOT / "spark-submit.sh", tmp_path)
    assert "run: make setup" in submit("x.py", folder=tmp_path, FAKEIT_VENV="").stderr


def test_spark_submit_takes_values_behind_an_equals_sign(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "spark-submit"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    own = tmp_path / "own.conf"
    own.write_text("spark.master local\nspark.authenticate true\n")
    here = submit("--py-files=mine.zip", "jobs/x.py", "--master=its.own", SPARK_HOME=str(tmp_path))
    assert here.stdout.count("--py-files") == 1 and ".zip,mine.zip jobs/x.py --master=its.own" in here.stdout
    there = submit(f"--cluster={own}", "--master=spark://there:7077", "jobs/x.py", SPARK_HOME=str(tmp_path))
    assert there.returncode == 2 and "spark://there:7077 is only spoken to with a secret" in there.stderr


def test_a_reader_that_has_had_enough_sees_no_traceback() -> None:
    lines = "[print('line', flush=True) for _ in range(9999)]"
    script = f"from fakeit.jobs.cli import run, Parser\nrun(lambda _: {lines}, Parser())"
    ran = subprocess.run(
        ["bash", "-c", f"{sys.executable} -c \"{script}\" | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (141, "line\n", "")


@pytest.mark.parametrize(("closed", "said"), [("<&-", "[]\n"), (">&-", ""), ("2>&-", "[]\n")])
def test_closed_streams_are_empty_ones(closed: str, said: str) -> None:
    script = "import sys; from fakeit.jobs.cli import run, Parser; run(lambda _: print(list(sys.stdin)), Parser())"
    ran = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -c '{script}' {closed}"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, said, "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EROFS, "Read-only file system", "ro/film.mp4"), "Read-only file system: ro/film.mp4"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EEXIST, "File exists", "notes.txt"), "File exists: notes.txt"),
        (OSError(errno.ENOTDIR, "Not a directory", "notes.txt/_tasks"), "Not a directory: notes.txt/_tasks"),
    ],
)
def test_what_a_disk_refuses_is_no_bug(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: argparse.Namespace) -> None:
        raise error

    assert leave(refused, monkeypatch, "--output", "x") == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_the_launcher_asked_for_help_says_whose_it_is(tmp_path: Path) -> None:
    bare = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    asked = [sys.executable, ROOT / "jobs" / "launch.py", "--help"]
    shown = subprocess.run(asked, cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert shown.returncode == 0 and "usage: python jobs/train.py --launcher" in shown.stdout


def test_make_demo_takes_a_folder_with_a_space_in_its_name(tmp_path: Path) -> None:
    asked = ["make", "-n", "-o", "setup", "demo", "DATA=/a/my 'own' faces"]
    bare = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}  # `make test` runs this, too
    line = subprocess.run(asked, cwd=ROOT, env=bare, capture_output=True, text=True).stdout.splitlines()[-1]
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "demo.sh").write_text('#!/bin/sh\nprintf "%s\\n" "$#" "$1"\n')
    (tmp_path / "scripts" / "demo.sh").chmod(0o755)
    ran = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == "1\n/a/my 'own' faces\n", line + ran.stderr
