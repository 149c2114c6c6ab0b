"""Which code made a dataset or a face: the commit of this checkout, or the version of a release."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

from fakeit import __version__


def code_version() -> str:
    """The commit that this code is at, `+` behind it when files differ; outside a checkout the package's version."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # a wheel below somebody else's checkout is not at that one's commit
        return __version__
    try:
        git = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"]
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or __version__
    except (OSError, subprocess.SubprocessError):
        return __version__


@cache
def code_hash() -> str:
    """16 hex digits of the code below pipelines/ and of its data (box maps, detectors' weights): what a shard's bytes
    depend on beside its samples and conf. Unlike the commit it does not change with a training or a document. Called
    where the files lie, not on executors."""
    return _hash(renderer=False)  # that makes pictures, not shards


@cache
def renderer_hash() -> str:
    """The same of the renderer and its heads: what a face's bytes depend on beside seed, number and conf."""
    return _hash(renderer=True)


def _hash(renderer: bool) -> str:
    digest, root = hashlib.sha256(), Path(__file__).resolve().parents[1]
    digest.update(str(root).encode() if not root.is_dir() else b"")  # in an archive, whose name is a hash of the code
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        parts = path.relative_to(root).parts
        if ("synth" in parts) == renderer and "__pycache__" not in parts:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
