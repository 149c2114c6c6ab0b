"""No licence slips into what runs that would bind what uses it, and every file that was made elsewhere has a notice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import licences

ROOT = Path(__file__).resolve().parent.parent
MADE_ELSEWHERE = (
    ".onnx",
    ".npz",
    ".npy",
    ".pt",
    ".tflite",
    ".task",
    ".xml",
    ".ttf",
    ".otf",
    ".hdr",
    ".exr",
    ".obj",
    ".glb",
)


def test_what_runs_here_is_under_licences_that_bind_nobody() -> None:
    assert licences.check() == []


def test_needs_of_needs_are_looked_at() -> None:
    assert {"mlflow", "mlflow-skinny", "protobuf", "flask"} <= licences.runtime(["mlflow"])
    assert licences.runtime(["no-such-package"]) == set()


@pytest.mark.parametrize(
    ("words", "bound"),
    [
        ("GNU General Public License v3 (GPLv3)", True),
        ("GPL-2.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", True),
        ("SSPL-1.0", True),
        ("", True),
        ("GNU Lesser General Public License v3", False),
        ("LGPL-2.1-only", False),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("MPL-2.0 AND MIT", False),
        ("Apache-2.0", False),
    ],
)
def test_which_licences_are_refused(words: str, bound: bool) -> None:
    assert bool(licences.problem("anything", words)) == bound


def test_every_weight_mesh_texture_and_font_in_the_tree_has_a_notice() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    notice = (ROOT / "NOTICE.md").read_text()
    files = [name for name in listed.stdout.split("\n") if name.endswith(MADE_ELSEWHERE)]
    assert files and [name for name in files if f"`{name}`" not in notice] == []
