"""Where the dense points lie on each head kind: a fixed list, chosen on ICT's mesh, carried over by a registration.

`tools/register_heads.py` makes the table. Point k is the same place on every kind.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=1)
def places() -> dict[str, NDArray[Any]]:
    """The table: vertices `ict` (400,) and `builtin` (400,); of MakeHuman's base mesh, for the 68 and
    then the dense points, rows of a sparse matrix (`makehuman_starts`, `_vertices` of hm08, `_weights`), and the 68
    points' places on its skin, `makehuman_uv` (68, 2)."""
    file = resources.files("fakeit.pipelines.synth") / "data" / "places.npz"
    with resources.as_file(file) as path, np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}
