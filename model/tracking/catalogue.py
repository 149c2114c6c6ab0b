"""Models by name: what `Landmarker.load("box-int8")`, `--model box-int8`, `--init box`, `fakeit models` choose from.

`model/box/models.json` lists them, and an entry there is all it takes to add one: file, about, licence, saw, trainable.
Its figures are written by `tools/measure_models.py`, never by hand. Names are looked up only where no file of that name
is there; `fakeit-NAME` is the same as NAME.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fakeit.pipelines.config import from_dict, nearest
from fakeit.pipelines.errors import FakeitError

FOLDER = Path(__file__).resolve().parents[1] / "box"
LIST = FOLDER / "models.json"
DEFAULT = "box"
ALIASES = {"base": DEFAULT}  # what a family's middle is called


@dataclass(frozen=True)
class Model:
    """One model that comes along.

    Attributes:
        file: beside the list.
        about: one line.
        licence: of its weights; with what it saw in training (`saw`) that decides where it may be used.
        trainable: whether `--init` takes it.
        figures: what the script measured: bytes, milliseconds, NME by set, yaw, skin tone.
    """

    file: str
    about: str
    licence: str
    saw: str
    trainable: bool = False
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return FOLDER / self.file


@cache
def models() -> dict[str, Model]:
    """Name → model, the default first."""
    held = resources.files("fakeit.model").joinpath(FOLDER.name, LIST.name)  # executors have this code as a zip
    listed = json.loads(held.read_text(encoding="utf-8"))
    return {name: from_dict(values, Model, f"{LIST.name}: {name}") for name, values in listed.items()}


def locate(asked: str | Path) -> Path:
    """The file of a model: a known name's, else `asked` itself.

    Raises:
        FakeitError: neither a file nor a known name, where it looks like a name.
    """
    text = str(asked)
    if Path(text).is_file() or not text or Path(text).suffix or "/" in text or "\\" in text:
        return Path(text)
    name = text.removeprefix("fakeit-")
    name = ALIASES.get(name, name)
    if name not in models():
        known = ", ".join(models())
        raise FakeitError(f"model '{text}': no such file or name{nearest(name, models())} (known names: {known})")
    return models()[name].path


def the_box() -> Path:
    """The file of the default model, whatever lies in the working folder under its name."""
    return models()[DEFAULT].path


def table() -> str:
    """All models side by side, as Markdown."""
    head = ("name", "MB", "ms a face", "NME % YouTube faces · AFW", "with adapter", "licence", "saw in training")
    rows = []
    for name, model in models().items():
        figures = model.figures
        sets = figures.get("sets", {})
        plain, adapted = (" · ".join(f"{s[key]:.2f}" for s in sets.values() if key in s) for key in ("nme", "adapted"))
        row = (name, f"{figures.get('megabytes', 0):.1f}", f"{figures.get('ms', 0):.1f}", plain, adapted)
        rows.append((*row, model.licence, model.saw))
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in (head, *rows)
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
