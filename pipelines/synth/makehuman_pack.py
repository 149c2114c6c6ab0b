"""The packed MakeHuman head: its version, its fields, and how it is read; whatever is wrong with a pack is one line."""

from __future__ import annotations

import zipfile
import zlib
from enum import IntEnum
from functools import lru_cache
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

VERSION = "fakeit makehuman 1"
SIDE = 2048  # texels of MakeHuman's whole skin
CROP = (1300, 358, 2048, 1762)  # of them, left, top, right, bottom: the head
_SHIPPED = "makehuman.npz"
_FIELDS = ("kept", "base", "quads", "uv", "part", "head", "teeth_corners", "teeth_weights", "teeth_offsets",
           "teeth_quads", "lash_quads", "lash_uv", "skin_names")  # fmt: skip


class Part(IntEnum):
    """What a quad of the base mesh belongs to."""

    SKIN = 0
    BODY = 1
    MOUTH = 2
    SOCKET = 3
    TONGUE = 4
    LEFT_EYE = 5  # at the viewer's left
    RIGHT_EYE = 6


@lru_cache(maxsize=2)
def read_pack(file: str) -> dict[str, Any]:
    """The fields of a pack; `file` empty: the one that the project ships.

    Raises:
        FakeitError: the file is missing, cut, of another version, or lacks a field or a texture.
    """
    where = f"head.file {file}" if file else f"the shipped {_SHIPPED}"
    try:
        if file:
            pack = _load(file)
        else:
            with resources.as_file(resources.files("fakeit.pipelines.synth") / "data" / _SHIPPED) as path:
                pack = _load(str(path))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise FakeitError(f"{where}: cannot be read ({error}); make it with --import-makehuman") from error
    version = str(pack.get("version", "none"))
    if version != VERSION:
        raise FakeitError(f"{where}: version '{version}', this program reads '{VERSION}'; make it again")
    targets = [f"{kind}_{part}" for kind in ("macro", "detail", "expression") for part in ("names", "largest", "steps")]
    for key in (*_FIELDS, *targets):
        if key not in pack:
            raise FakeitError(f"{where}: field '{key}' is missing; make it with --import-makehuman")
    for kind in ("skin_0", "brow_", "iris_", "lash_0"):
        if not any(key.startswith(kind) for key in pack):
            raise FakeitError(f"{where}: no texture '{kind.rstrip('_0')}_…' in it; make it with --import-makehuman")
    return pack


def _load(path: str) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def picture(pack: dict[str, Any], key: str, file: str) -> NDArray[np.uint8]:
    """A texture of the pack, (H, W, 3) RGB or (H, W).

    Raises:
        FakeitError: it is missing or damaged.
    """
    decoded = cv2.imdecode(pack[key], cv2.IMREAD_UNCHANGED) if key in pack and pack[key].size else None
    if decoded is None:
        raise FakeitError(f"head.file {file or _SHIPPED}: texture '{key}' is missing or damaged; make the pack again")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if decoded.ndim == 3 else decoded, np.uint8)


def moves(pack: dict[str, Any], kind: str) -> NDArray[np.float32]:
    """Targets of a kind, (K, N, 3) float32 decimetres."""
    return np.asarray(pack[f"{kind}_steps"] * (pack[f"{kind}_largest"][:, None, None] / np.float32(32767)), np.float32)
