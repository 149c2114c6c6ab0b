"""Every page in one call: what is made in which order, what is not made twice, where a cut ends it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND = """#!/bin/bash
echo "$*" >>"{log}"
case "$*" in
*preprocess*) mkdir -p "{out}/dataset-50" && touch "{out}/dataset-50/manifest.json" ;;
*reduced_mixing*) exit {code} ;;
esac
"""


def _run(folder: Path, code: int, *more: str) -> tuple[int, list[str]]:
    log, out, python = folder / "log", folder / "out", folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(STAND.format(log=log, out=out, code=code))
    python.chmod(0o755)
    log.unlink(missing_ok=True)
    environment = {**os.environ, "FAKEIT_VENV": str(folder / "venv"), "FACES": "50", "SCALE": "reduced_"}
    ended = subprocess.run([ROOT / "benchmarks/comparisons.sh", out, *more], env=environment, capture_output=True)
    return ended.returncode, log.read_text().splitlines()


@pytest.mark.parametrize(("code", "pages"), [(1, 5), (130, 2)])
def test_pages_one_after_another_until_it_is_cut(tmp_path: Path, code: int, pages: int) -> None:
    returned, said = _run(tmp_path, code, "--real", "AFW:300w=x")
    assert returned == code, "a page that fails does not take the others with it; a cut does"
    assert [line.split()[0] for line in said[:2]] == ["jobs/synthesize.py", "jobs/preprocess.py"]
    confs = [line.split()[2] for line in said[2:]]
    assert len(confs) == pages and confs[0] == "conf/compare/reduced_steps.toml"
    assert all((ROOT / conf).is_file() for conf in confs) and said[2].endswith("--real AFW:300w=x")
    assert not any("synthesize" in line for line in _run(tmp_path, code)[1]), "the dataset stands"
