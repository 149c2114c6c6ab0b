"""The wheel: what is in it, and that it is enough to find points without torch, pyarrow or pyspark."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from fakeit import __version__
from tools.build_dist import check_tag

ROOT = Path(__file__).resolve().parents[1]
WHEEL_MB, BASE_MB = 30, 400  # at most: the wheel, and an empty venv with it, pip itself included, in blocks of the disk
OLD_BASE_MB = 430  # on Python 3.10, whose last onnxruntime brings sympy
HEAVY = ("torch", "pyarrow", "pyspark", "pandas", "mlflow", "scipy", "numba", "matplotlib", "petastorm", "horovod")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution alone."""
    folder = tmp_path_factory.mktemp("dist")
    ran = subprocess.run([sys.executable, ROOT / "tools" / "build_dist.py", folder], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert len(list(folder.glob("*.tar.gz"))) == 1
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def python(unpacked: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`code` in a Python that has the wheel and what the base needs, and is refused everything heavy."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-P", "-c", f"{blocked}\n{code}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_wheel_holds_what_its_users_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"fakeit/py.typed", "fakeit/conf/train/demo.toml", "fakeit/conf/spark/local.conf"} <= names
    assert {"fakeit/model/box/face70.onnx", "fakeit/pipelines/faces/mtcnn_weights/onet.onnx"} <= names
    assert {"fakeit/pipelines/faces/box_fits.json", "fakeit/jobs/predict.py"} <= names
    assert not [name for name in names if not name.startswith("fakeit")], "one importable name"
    assert not [name for name in names if "__pycache__" in name or name.startswith("fakeit/tests")]


def test_the_wheel_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= WHEEL_MB * 2**20


def test_points_with_the_base_alone(unpacked: Path, tmp_path: Path) -> None:
    picture = ROOT / "tests" / "pipelines" / "golden" / "mtcnn_faces.jpg"
    code = f"""
import fakeit
assert fakeit.__file__.startswith({str(unpacked)!r})
faces = fakeit.Landmarker.load()({str(picture)!r})
print(fakeit.__version__, len(faces), faces[0].points.shape)"""
    ran = python(unpacked, code, tmp_path)
    assert ran.stdout.split(" ", 1)[1] == "8 (70, 2)\n", ran.stderr


def test_the_version_is_said_alike_everywhere(wheel: Path) -> None:
    """Between releases the number of the one to come with `.dev0`, so that no two different wheels have one version."""
    assert wheel.name.startswith(f"fakeit_landmarks-{__version__}-")
    changes = (ROOT / "CHANGELOG.md").read_text()
    released = re.search(r"^## \[(\d+\.\d+\.\d+)\] – (\S+)", changes, re.M)
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)^## ", changes, re.M | re.S)
    assert released and unreleased
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {released[1]}\n" in citation and f'\ndate-released: "{released[2]}"\n' in citation
    if unreleased[1].strip():
        assert __version__.endswith(".dev0") and Version(__version__) > Version(released[1])
    else:
        assert Version(__version__) >= Version(released[1])


def test_a_tag_and_the_version_must_agree(tmp_path: Path) -> None:
    check_tag(tmp_path, "1.0.0")  # no git at all
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "a"], ["tag", "other"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    check_tag(tmp_path, "1.0.0")  # no tag of a version
    subprocess.run([*git, "tag", "v1.0.0"], cwd=tmp_path, check=True)
    check_tag(tmp_path, "1.0.0")
    with pytest.raises(SystemExit, match=r"tagged v1\.0\.0, but fakeit/__init__.py says 1\.1\.0\.dev0"):
        check_tag(tmp_path, "1.1.0.dev0")


def test_importing_fakeit_loads_nothing_but_itself(unpacked: Path, tmp_path: Path) -> None:
    ran = python(unpacked, "import fakeit, sys; print({'numpy', 'cv2', 'onnxruntime'} & set(sys.modules))", tmp_path)
    assert ran.stdout == "set()\n", ran.stderr


def test_the_base_needs_nothing_heavy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [need for need in project["dependencies"] if need.startswith(HEAVY)]
    assert {"train", "spark", "web", "all"} <= set(project["optional-dependencies"])


def test_the_code_parses_as_python_3_10() -> None:
    for file in (path for folder in ("pipelines", "model", "jobs") for path in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(file.read_text(), str(file), feature_version=(3, 10))
        hints = [ast.unparse(node.annotation) for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
        assert "ClassVar" not in hints, f"{file}: 3.10's get_type_hints refuses a ClassVar without [its type]"


def interpreter(version: str) -> str | None:
    """A Python of this version that works: on PATH, or one of pyenv's."""
    known = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    works = (str(path) for path in known if path and not subprocess.run([path, "-V"], capture_output=True).returncode)
    return next(works, None)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_the_base_in_every_python(version: str, wheel: Path, tmp_path: Path) -> None:
    python_there = interpreter(version)
    if python_there is None:
        pytest.skip(f"needs a Python {version}")
    venv = tmp_path / "venv"
    subprocess.run([python_there, "-m", "venv", venv], check=True)
    here = venv / "bin"
    if subprocess.run([here / "pip", "install", "-q", wheel], capture_output=True).returncode:
        pytest.skip("needs a package index")
    assert megabytes(venv) <= (OLD_BASE_MB if version == "3.10" else BASE_MB)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    shutil.copy(ROOT / "tests" / "pipelines" / "golden" / "mtcnn_faces.jpg", tmp_path / "faces.jpg")
    for words, said in (
        (["doctor"], "ready: fakeit predict"),
        (["predict", "faces.jpg", "--faces", "0"], "1 picture · 8 faces"),
        (["predict", "faces.jpg", "--model", "box-int8", "--adapter", "ibug68", "--output", "coco"], "1 picture"),
        (["filters", "--images", "faces.jpg", "--output", "worn", "--filter", "glasses"], "8 faces"),
    ):
        ran = subprocess.run([here / "fakeit", *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0 and said in ran.stdout, (words, ran.stdout, ran.stderr)
    shutil.rmtree(venv)  # pytest would keep it for three runs


def megabytes(folder: Path) -> float:
    """What `du -m` says."""
    return sum(512 * file.lstat().st_blocks for file in folder.rglob("*")) / 2**20


def test_evaluating_with_the_base_alone(unpacked: Path, tmp_path: Path) -> None:
    sheet = ROOT / "tests" / "pipelines" / "golden" / "mtcnn_faces.jpg"
    (tmp_path / "sheet.jpg").write_bytes(sheet.read_bytes())
    code = f"""
from fakeit.model.evaluation.runner import BenchmarkConfig, benchmark
from fakeit.model.inference.landmarker import Landmarker
print(benchmark(Landmarker.load(), BenchmarkConfig("", "", (), None, {str(tmp_path)!r}), "box").text)"""
    ran = python(unpacked, code, tmp_path)
    assert "agreement, turned by" in ran.stdout, ran.stderr


def test_filters_and_a_checkpoint_with_the_base_alone(unpacked: Path, tmp_path: Path) -> None:
    sheet = ROOT / "tests" / "pipelines" / "golden" / "mtcnn_faces.jpg"
    (tmp_path / "best.pt").touch()
    code = f"""
from fakeit import Landmarker
from fakeit.model.inference.filters import make_edit
from fakeit.pipelines.errors import FakeitError
landmarker = Landmarker.load("box-int8")
faces = landmarker({str(sheet)!r})
worn = make_edit(landmarker, ["mask", "glasses"], None)(faces.pixels.copy(), list(faces))
print((worn != faces.pixels).any())
try:
    Landmarker.load("best.pt")
except FakeitError as error:
    print(error)"""
    ran = python(unpacked, code, tmp_path)
    wanted = "model best.pt: a checkpoint needs torch (pip install 'fakeit-landmarks[train]'); an .onnx of it does not"
    assert ran.stdout == f"True\n{wanted}\n", ran.stderr
