"""Datasets cross between the classic and the modern environment, where both are set up: each reads what the other
wrote, through our reader and through Petastorm, and finds the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_dataset import make_dataset

from fakeit.pipelines.store import manifest
from fakeit.pipelines.store.inspection import content_digest

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENTS = {name: ROOT / name / "bin" / "python" for name in (".venv", ".venv-modern")}
WRITE = """
import sys
from pathlib import Path
from tiny_dataset import make_dataset
make_dataset(Path(sys.argv[1]), codec=sys.argv[2], missing=0.1)
"""
READ = """
import hashlib, sys
import numpy as np
import pyarrow
from fakeit.model.data.dataset import READERS
from fakeit.pipelines.store import manifest
from fakeit.pipelines.store.inspection import content_digest
made = manifest.load(sys.argv[1])
manifest.verify(sys.argv[1], made.shards, hashes=True)
print(content_digest(sys.argv[1], made))
for read in READERS.values():
    digest = hashlib.sha256()
    for shard in made.shards:
        opened = read(f"{sys.argv[1]}/{shard.path}", made.shape)
        for column in (opened.images, opened.landmarks, opened.weight, opened.variants):
            digest.update(np.ascontiguousarray(column).tobytes())
        digest.update("".join(opened.image_ids).encode())
    print(digest.hexdigest())
print(pyarrow.__version__)
"""


def run(environment: str, code: str, *arguments: str) -> list[str]:
    """The lines that `code` prints in that environment."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [str(ENVIRONMENTS[environment]), "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["raw", "png"])
def test_each_environment_reads_what_the_other_wrote(codec: str, tmp_path: Path) -> None:
    for name, python in ENVIRONMENTS.items():
        if not python.is_file():
            pytest.skip(f"needs {name} (make setup STACK=modern, make setup)")
    found = {}
    for writer in ENVIRONMENTS:
        run(writer, WRITE, str(tmp_path / writer), codec)
        for reader in ENVIRONMENTS:
            *found[writer, reader], version = run(reader, READ, str(tmp_path / writer))
            assert version.startswith("14.") == (reader == ".venv")
    assert len(set(map(tuple, found.values()))) == 1, "the same rows, whoever wrote and whoever reads them"
    arrow, petastorm = next(iter(found.values()))[1:]
    assert arrow == petastorm
    digests = {name: manifest.load(str(tmp_path / name)).digest for name in ENVIRONMENTS}
    assert len(set(digests.values())) == 2, "files tell which pyarrow wrote them, so equal digests would be a surprise"


def test_the_content_is_that_of_this_environment(tmp_path: Path) -> None:
    """What the tiny dataset holds, in either environment, on any machine: a change here is a change of the format."""
    folder = make_dataset(tmp_path / "d", missing=0.1)
    assert content_digest(str(folder), manifest.load(str(folder))) == "ffd33ecdee08eca9", sys.executable
