"""A run's figures on the local disk, and what of them its server has acknowledged.

`journal.jsonl` has a line an epoch and is only ever added to. Beside it `journal.state.json` says which run of which
server they belong to and which epochs that has. So a run that is resumed, with or without a checkpoint that knows its
MLflow run, finds it again, and neither loses an epoch nor opens a second run.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fakeit.pipelines.files.storage import write_atomically

JOURNAL, STATE = "journal.jsonl", "journal.state.json"


@dataclass
class State:
    """What the server is known to have.

    Attributes:
        uri: of the server. run_id: of the run there, once it was opened.
        key: a tag of that run, by which it is found if the answer to its creation got lost; asked: it was asked for.
        described: the run's params and datasets are there.
        sent: epochs whose figures are there.
    """

    uri: str = ""
    run_id: str | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    asked: bool = False
    described: bool = False
    sent: list[int] = field(default_factory=list)


class Journal:
    """See the module.

    Args:
        folder: of the run.
        resume: go on with what is there; else what the server lacks of a former run is set aside, and the rest
            forgotten.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        self.path, self._state_path = folder / JOURNAL, folder / STATE
        self.lines, self.state = self._read()
        if not resume:
            self._begin_anew()

    def _read(self) -> tuple[list[dict[str, Any]], State]:
        text = self.path.read_text() if self.path.exists() else ""
        whole = [line for line in text.splitlines() if line.endswith("}}")]  # the figures' own brace and the line's
        if text != "".join(f"{line}\n" for line in whole):  # a write was cut short: the next line must not join it
            with write_atomically(str(self.path)) as file:
                file.write("".join(f"{line}\n" for line in whole).encode())
        try:
            known = json.loads(self._state_path.read_text())
            state = State(**{name: known[name] for name in asdict(State()) if name in known})
        except (OSError, ValueError):
            state = State()
        return [json.loads(line) for line in whole], state

    def _begin_anew(self) -> None:
        unsent = self.unsent()
        if unsent and self.path.exists():
            aside = self.path.with_name(f"journal-{time.strftime('%Y%m%d-%H%M%S')}.jsonl")
            self.path.rename(aside)
            self._warn(f"MLflow never got {len(unsent)} epochs of a former run here; they stand in {aside}")
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)
        self.lines, self.state = [], State()

    def add(self, epoch: int, values: dict[str, float]) -> None:
        """Writes down an epoch's figures; an epoch that is there already keeps what it has."""
        if any(line["epoch"] == epoch for line in self.lines):
            return
        line = {"epoch": epoch, "time": int(time.time() * 1000), "values": values}
        self.lines.append(line)
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            self._warn(f"{self.path}: {error.strerror}")

    def unsent(self) -> list[dict[str, Any]]:
        """The lines that the server is not known to have."""
        sent = set(self.state.sent)
        return [line for line in self.lines if line["epoch"] not in sent]

    def acknowledged(self, epochs: list[int]) -> None:
        """The server has these epochs."""
        self.state.sent = sorted({*self.state.sent, *epochs})
        self.remember()

    def remember(self) -> None:
        """Writes the state down."""
        try:
            with write_atomically(str(self._state_path)) as file:
                file.write(json.dumps(asdict(self.state)).encode())
        except OSError as error:
            self._warn(f"{self._state_path}: {error.strerror}")

    @staticmethod
    def _warn(message: str) -> None:
        print(f"warning: {message}", file=sys.stderr, flush=True)
