"""The head of a kind, loaded once a process."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.synth.builtin_head import builtin_head
from fakeit.pipelines.synth.head import Head
from fakeit.pipelines.synth.ict_head import load_ict
from fakeit.pipelines.synth.makehuman_head import load_makehuman


@lru_cache(maxsize=2)
def load_head(kind: Literal["builtin", "ict", "makehuman"], file: str = "") -> Head:
    """The head of a kind; loaded once a process.

    Args:
        kind: "builtin", "makehuman", or "ict" with `file`.
        file: the .npz that `jobs/synthesize.py --import-ict` or `--import-makehuman` wrote.

    Raises:
        FakeitError: the file is missing or is not such a model.
    """
    if kind == "builtin":
        return builtin_head()
    if kind == "makehuman":
        return load_makehuman(file)
    if not file:
        raise FakeitError("head.kind is 'ict', which needs head.file, the packed model (see docs/synthesize.md)")
    return load_ict(file)
