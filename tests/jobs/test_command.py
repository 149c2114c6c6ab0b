"""`fakeit …`: every job behind one command; what is missing is named with what brings it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fakeit import __version__
from fakeit.jobs import cli, command
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.pictures import expand

ROOT = Path(__file__).resolve().parents[2]
SHEET = ROOT / "tests" / "pipelines" / "golden" / "mtcnn_faces.jpg"
ENTRY = "from fakeit.jobs.command import main; main()"


def fakeit(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", command.ALL)
def test_every_command_is_a_job_and_speaks_of_itself_as_a_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"fakeit {name}"])
    job = command.module(name)
    said = job.parser().format_help()
    assert said.startswith(f"usage: fakeit {name}") and "--quiet" in said
    assert "python jobs/" not in said
    assert callable(job.main)


def test_the_overview_names_all_and_a_slip_the_nearest() -> None:
    assert all(f"  {name} " in command.overview() for name in command.ALL)
    slip = fakeit("predit", "x.jpg")
    assert (slip.returncode, slip.stderr[:59]) == (2, "error: unknown command 'predit'; did you mean 'fakeit predi")
    assert fakeit("--version").stdout == f"fakeit {__version__}\n"


def test_bash_completes_commands_and_options() -> None:
    ask = "COMP_WORDS=({}) COMP_CWORD={}; _fakeit; echo ${{COMPREPLY[*]}}"
    script = command.completion("bash")
    for words, at, wanted in (("fakeit pre", 1, "predict preprocess"), ("fakeit train --res", 2, "--resume")):
        ran = subprocess.run(["bash", "-c", f"{script}\n{ask.format(words, at)}"], capture_output=True, text=True)
        assert ran.stdout.strip() == wanted, ran.stderr
    assert "complete -c fakeit" in command.completion("fish") and "bashcompinit" in command.completion("zsh")


def test_a_picture_alone_is_drawn_beside_itself(tmp_path: Path) -> None:
    picture = tmp_path / "a face.jpg"
    picture.write_bytes(SHEET.read_bytes())
    ran = fakeit("predict", "a face.jpg", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "1 picture · 1 face" in ran.stdout and "drawn in a face.points.jpg\nnext: fakeit predict" in ran.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a face.jpg", "a face.points.jpg"]
    assert picture.read_bytes() == SHEET.read_bytes()


def test_where_it_was_drawn_is_where_it_lies(tmp_path: Path) -> None:
    """A GIF cannot be written, so what is drawn is a PNG, and the line says so."""
    frames = [Image.new("RGB", (64, 64), grey) for grey in ("grey", "white")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    ran = fakeit("predict", "moving.gif", cwd=tmp_path)
    assert "drawn in moving.points.gif.png\n" in ran.stdout, ran.stderr
    assert (tmp_path / "moving.points.gif.png").is_file()
    (tmp_path / "other.points.gif").write_bytes((tmp_path / "moving.gif").read_bytes())  # nobody's drawing
    assert [p.name for p in expand([str(tmp_path)])] == ["moving.gif", "other.points.gif"], "drawings are no inputs"


def test_an_interrupt_while_it_loads_is_one_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["fakeit", "predict"])
    monkeypatch.setattr(command, "import_module", interrupted)
    with pytest.raises(SystemExit) as left:
        command.main()
    assert (left.value.code, capsys.readouterr().err) == (130, "interrupted\n")


def test_a_folder_is_drawn_into_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(SHEET.read_bytes())
    assert "drawn in photos.points" in fakeit("predict", "photos", cwd=tmp_path).stdout
    assert sorted(p.name for p in (tmp_path / "photos.points").iterdir()) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--faces", "-3", "x.jpg"], "argument --faces: '-3' is no whole number of at least 0"),
        (["--device", "cuda", str(SHEET)], "device cuda: face70.onnx is an ONNX file, which runs on the CPU here"),
        (["--model", "bocks", str(SHEET)], "model 'bocks': no such file or name; did you mean 'box'?"),
        ([], "say either which pictures"),
        ([str(SHEET), "--camera", "0"], "say either which pictures"),
        ([str(SHEET), "--output", "-"], "output -: name a file or folder"),
        ([str(SHEET), "--draw", __file__], "test_command.py: is a file; name a folder"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(words: list[str], said: str) -> None:
    ran = fakeit("predict", *words)
    assert ran.returncode == 2 and said in ran.stderr and ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "said"), [(".", "error: video .: is a folder; name a file"), ("a.mp4", "error: video a.mp4: not a video")]
)
def test_no_video_is_one_line(place: str, said: str, tmp_path: Path) -> None:
    """The folder here was a ValueError of pathlib's, and FFmpeg said its own before ours."""
    (tmp_path / "a.mp4").write_text("no video")
    ran = fakeit("video", place, cwd=tmp_path)
    assert ran.returncode == 2 and ran.stderr.startswith(said) and ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "80000"], "argument --port: '80000' is no whole number from 1 to 65535"),
        (["--workers", "0"], "argument --workers: '0' is no whole number of at least 1"),
    ],
)
def test_a_page_that_nobody_could_reach_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        command.module("web").parser().parse_args(words)
    assert (left.value.code, capsys.readouterr().err) == (2, f"error: {said}\n")


def test_doctor_and_models_for_programs() -> None:
    found = json.loads(fakeit("doctor", "--json").stdout)
    assert found["usable"] and {"base", "[train]", "Java", "GPU", "model"} <= {c["name"] for c in found["checks"]}
    java, extra = (next(c for c in found["checks"] if c["name"] == name) for name in ("Java", "[java]"))
    assert extra["good"] or not java["good"], "a machine with a Java needs no other, and is not sent to install one"
    models = json.loads(fakeit("models", "--json").stdout)
    assert list(models)[0] == "box" and all(Path(m["path"]).is_file() for m in models.values())


@pytest.mark.parametrize(
    ("argv", "horovod", "said"),
    [
        ("jobs/preprocess.py", True, "horovodrun -np 2 python jobs/train.py"),
        ("jobs/preprocess.py", False, "torchrun --nproc-per-node 2 jobs/train.py"),
        ("fakeit preprocess", False, "fakeit train"),
    ],
)
def test_the_next_step_is_one_that_can_be_taken(
    argv: str, horovod: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [argv])
    monkeypatch.setattr(cli.extras, "is_installed", lambda module: horovod)
    cli.next_step("horovodrun -np 2 python jobs/train.py --dataset D")
    assert capsys.readouterr().out == f"next: {said} --dataset D\n"


def test_what_jobs_suggest_is_sized_for_a_laptop() -> None:
    """docs/training.md says what each conf takes; what a newcomer copies is not one of the long ones."""
    row = re.compile(r"^\| `(\w+)\.toml`.*(?:hours|days)", re.M)
    long = row.findall((ROOT / "docs" / "training.md").read_text())
    assert "xception_small" in long
    said = {job.name: job.read_text() for job in (ROOT / "jobs").glob("*.py")}
    assert [(job, conf) for job, text in said.items() for conf in long if f"train/{conf}.toml" in text] == []


def test_what_an_extra_brings_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    there = cli.extras.is_installed
    monkeypatch.setattr(cli.extras, "is_installed", lambda m: m not in ("torch", "horovod", "petastorm") and there(m))
    monkeypatch.setattr(cli.environment, "check", lambda: None)
    monkeypatch.setattr(sys, "argv", ["fakeit train"])
    with pytest.raises(FakeitError, match=r"fakeit train needs torch: pip install 'fakeit-landmarks\[train\]'"):
        cli.check(("torch", "numpy"))

    def import_it(_: object) -> None:
        raise ModuleNotFoundError("No module named 'gradio'", name="gradio")

    with pytest.raises(SystemExit):
        cli.run(import_it, cli.Parser(), ())
    assert capsys.readouterr().err == "error: this needs gradio: pip install 'fakeit-landmarks[web]'\n"
