"""The code's zip: equal code has an equal name, and a Python that has only the zip can import from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from fakeit.jobs import preprocess, synthesize, train
from fakeit.pipelines.machine import shipping


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipping.code_archive(tmp_path_factory.mktemp("code"))


def test_the_code_is_named_by_its_content_and_made_once(tmp_path: Path) -> None:
    first = shipping.code_archive(tmp_path)
    made = first.stat().st_mtime_ns
    assert shipping.code_archive(tmp_path) == first and first.stat().st_mtime_ns == made
    other = shipping.code_archive(tmp_path / "other")
    assert other.name == first.name and other.read_bytes() == first.read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [first.name], "no temporary file is left"


def test_the_zip_alone_is_enough_to_import(archive: Path, tmp_path: Path) -> None:
    names = zipfile.ZipFile(archive).namelist()
    assert {"fakeit/__init__.py", "fakeit/pipelines/__init__.py", "fakeit/jobs/preprocess.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    found = f"import sys; sys.path.insert(0, {str(archive)!r}); import fakeit.pipelines.flows.shard_task as t"
    code = f"{found}; print(t.__file__)"
    found = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert found.stdout.startswith(str(archive)), found.stderr


@pytest.mark.parametrize(
    "module", ["pipelines.flows.shard_task", "pipelines.flows.synthesize", "model.kaggle.shard_imputation"]
)
def test_tasks_are_found_in_the_zip_without_what_is_left_out(archive: Path, tmp_path: Path, module: str) -> None:
    """As an executor unpickles a task: files that a module reads at import lie in the zip too, and are no paths."""
    code = f"""
import sys
sys.path.insert(0, {str(archive)!r})
sys.modules.update(dict.fromkeys({sorted(shipping.LEFT_OUT)}))
import fakeit.{module} as task
print(task.__file__)
"""
    found = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True)
    assert found.stdout.startswith(str(archive)), found.stderr


def test_nothing_of_what_was_shipped_is_left_at_the_end(tmp_path: Path) -> None:
    code = """
from types import SimpleNamespace
from pathlib import Path
from fakeit.pipelines.machine.shipping import ship_code
conf = SimpleNamespace(get=lambda key, default: default)
ship_code(SimpleNamespace(getConf=lambda: conf, addPyFile=lambda path: print(Path(path).is_file(), path)))
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"True {tmp_path}") and not list(tmp_path.iterdir())


def test_what_executors_import_is_not_left_out() -> None:
    needed = {"numpy", "pandas", "pyarrow", "cv2", "simplejpeg", "scipy", "numba", "fsspec", "tqdm"}
    needed |= {*preprocess.NEEDS, *synthesize.NEEDS}  # in cluster mode their drivers run from the archive too
    needed |= {"petastorm"} if find_spec("petastorm") else set()
    assert needed <= packages(shipping.LEFT_OUT)
    assert not packages(shipping.LEFT_OUT) & shipping.LEFT_OUT
    trains = needed - {"numba"} | set(train.NEEDS) | ({"horovod"} if find_spec("horovod") else set())
    assert trains <= packages(shipping.NOT_FOR_RANKS)


def packages(left_out: frozenset[str]) -> set[str]:
    files = [name.split("/") for _, name in shipping._environment_files(left_out)]
    return {parts[3] for parts in files if parts[2:3] == ["site-packages"]}


def test_the_image_s_user_has_a_name() -> None:
    """Hadoop's login asks for it, and a pod whose user has none ends at once."""
    text = (shipping.ROOT / "docker" / "Dockerfile").read_text()
    user = next(line.split()[1] for line in text.splitlines() if line.startswith("USER "))
    assert f"useradd --uid {user} " in text
