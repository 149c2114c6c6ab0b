"""A scheme of one's own: what its file may say, and that three points in a CSV become a model without touching code."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.draw import write_image
from fakeit.pipelines.landmarks import eye_corners, scheme
from fakeit.pipelines.own_scheme import from_names
from fakeit.pipelines.sources import open_source
from tests.pattern_face import picture, placed

ROOT = Path(__file__).resolve().parents[2]
CAT = """
name = "cat"
points = ["left_eye", "right_eye", "nose"]
mirror = [["left_eye", "right_eye"]]
lines = [["left_eye", "nose", "right_eye", "left_eye"]]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "cat.toml").write_text(CAT)
    return tmp_path / "cat.toml"


def test_a_file_says_all_that_a_scheme_is(file: Path) -> None:
    cat = scheme(str(file))
    assert (cat.title, cat.count, cat.names, cat.flip) == ("cat", 3, ("left_eye", "right_eye", "nose"), (1, 0, 2))
    assert cat.edges == (((0, 2, 1), True),)
    left, right = eye_corners(np.array([[1.0, 2], [5, 2], [3, 4]]), cat.name)
    assert left.tolist() == [1, 2] and right.tolist() == [5, 2]


def test_its_name_is_all_of_it_and_needs_no_file(file: Path) -> None:
    cat = scheme(str(file))
    file.unlink()
    assert scheme(cat.name) == cat
    assert cat.name == (
        "cat:left_eye,right_eye,nose;mirror=left_eye/right_eye;eyes=left_eye/right_eye;"
        "lines=left_eye/nose/right_eye/left_eye"
    )


def test_a_source_carries_it_to_executors_without_the_file(file: Path, tmp_path: Path) -> None:
    source = open_source("folder", str(tmp_path), scheme=str(file), points="points.csv")
    file.unlink()
    assert scheme(pickle.loads(pickle.dumps(source)).scheme).count == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('["left_eye", "right_eye"]]', '["left_eye", "rigth_eye"]]', "'rigth_eye', which is not in 'points'; did"),
        ("mirror =", "mirrors =", "unknown key 'mirrors'; did you mean 'mirror'"),
        ('name = "cat"', 'name = "ibug68"', "'name' is 'ibug68'; expected a word of its own"),
        ('"nose"]\n', '"left_eye"]\n', "expected two names or more, each once"),
        ('"nose"]\n', '"my nose"]\n', "holds 'my nose'; expected a word"),
        ('["left_eye", "right_eye"]]', '["left_eye", "left_eye"]]', "twice, or with itself"),
        ('[["left_eye", "right_eye"]]', '[["left_eye", "right_eye", "nose"]]', "expected lists of 2 names"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(CAT.replace(old, new))
    with pytest.raises(FakeitError, match=r"wrong.toml: .*") as caught:
        scheme(str(path))
    assert said in str(caught.value)


@pytest.mark.parametrize("spelt", [("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")])
def test_names_pair_by_left_and_right_as_tools_write_them(spelt: tuple[str, str]) -> None:
    """Of LEFT_EYE and RIGHT_EYE no pair was made, so a mirrored picture had its left eye at the right."""
    left, right = spelt
    made = from_names("own", ["nose", f"{left} eye", f"{right} eye", f"{left}_ear", "cleft"], "export.json")
    assert made.flip == (0, 2, 1, 3, 4) and (made.left_eye, made.right_eye) == ((1,), (2,))


def test_an_unknown_scheme_says_that_files_are_schemes_too() -> None:
    with pytest.raises(FakeitError, match=r"files that end in .toml"):
        scheme("ibug86")


@pytest.mark.slow
def test_three_points_in_a_csv_become_a_model(file: Path, tmp_path: Path) -> None:
    """Pictures, a CSV and a TOML through preprocess, train from the box, export and predict, as the docs say."""
    faces = tmp_path / "faces"
    faces.mkdir()
    rows = ["image,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y"]
    for index in range(40):
        image, (points,) = picture([placed(40 + index, 50 + index // 2, 1.2 + index / 100)], 320, 280)
        write_image(str(faces / f"{index}.png"), image)
        rows.append(f"{index}.png," + ",".join(f"{v:.2f}" for v in points[[36, 45, 30]].ravel()))
    (faces / "points.csv").write_text("\n".join(rows) + "\n")
    common = ["--quiet", "--output"]
    options = f'{{scheme="{file}",points="points.csv"}}'
    fakeit("preprocess", "--config", "conf/preprocess/own.toml", "--input", "faces", "--workers", "0", *common, "data",
           "--set", "source.box=landmarks", "--set", f"source.options={options}", cwd=tmp_path)  # fmt: skip
    file.unlink()
    fakeit("train", "--config", "conf/train/box.toml", "--dataset", "data", "--init", "box", *common, "run",
           "--set", "input.size=80", "--set", "train.epochs=1", "--set", "tracking.uri=", cwd=tmp_path)  # fmt: skip
    fakeit("export", "--model", "run/checkpoints/best.pt", *common, "cat.onnx", cwd=tmp_path)
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\n0.png,60,70,100,100\n")
    fakeit("predict", "faces/0.png", "--model", "cat.onnx", "--boxes", "boxes.csv", *common, "p.csv", cwd=tmp_path)
    assert (tmp_path / "p.csv").read_text().startswith("image,x0,y0,x1,y1,x2,y2\n0.png,")


def fakeit(*words: str, cwd: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fakeit", *words]
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
