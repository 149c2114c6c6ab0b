"""A bar with an estimate for whatever takes more than a moment: a moving one on a terminal, elsewhere (a log,
horovodrun, CI) a plain line now and then. Everything goes to stderr; results are stdout's.

`--quiet` and `--json-log` of every job (`jobs/cli.py`) choose by `show`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, Literal, TypeVar

T = TypeVar("T")
How = Literal["auto", "bar", "lines", "json", "none"]
LINE_EVERY = 10.0  # seconds between plain lines; what ends before the first needs none
_how: How = "auto"


def show(how: How) -> None:
    """How progress is shown from now on in this process: "auto" is a bar on a terminal and lines elsewhere."""
    global _how
    _how = how


def say(line: str) -> None:
    """A line beside the bar, where progress is shown to people."""
    if _how not in ("none", "json"):
        print(line, file=sys.stderr, flush=True)


class ProgressBar:
    """Counts steps of something.

    Args:
        what: its name.
        total: steps there will be; 0 where nobody knows.
        unit: of what, in the plural.
        done: steps that were done before (a resumed run).
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, done
        self.how: How = ("bar" if sys.stderr.isatty() else "lines") if _how == "auto" else _how
        self._first, self._began = done, time.monotonic()
        self._said = self._began
        self._bar: Any = None
        if self.how == "bar":
            from tqdm import tqdm  # here: a Python that lacks it must come as far as the line that says so

            self._bar = tqdm(total=total or None, initial=done, desc=what, unit=f" {unit}", delay=1, dynamic_ncols=True)

    def step(self, count: int = 1, note: str = "") -> None:
        """`count` more are done; `note` is shown behind."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
            if note:
                self._bar.set_postfix_str(note, refresh=False)
        elif self.how in ("lines", "json") and time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            print(self._json(note) if self.how == "json" else self.line(note), file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def rate(self) -> float:
        """Steps a second so far."""
        return (self.done - self._first) / max(time.monotonic() - self._began, 1e-9)

    def left(self) -> float | None:
        """Seconds to go at the rate so far; None where nobody knows."""
        return (self.total - self.done) / self.rate if self.total and self.done > self._first else None

    def line(self, note: str = "") -> str:
        """`predict: 120 of 400 pictures (30 %), 12.1 a second, 23 s left`."""
        of = f" of {self.total:,}" if self.total else ""
        share = f" ({100 * self.done / self.total:.0f} %)" if self.total else ""
        said = f"{self.what}: {self.done:,}{of} {self.unit}{share}"
        if self.rate:  # nobody knows one before the first step
            said += f", {self.rate:,.1f} a second" if self.rate >= 1 else f", {1 / self.rate:,.1f} s each"
        left = self.left()
        said += f", {duration(left)} left" if left is not None else ""
        return said + (f"  {note}" if note else "")

    def _json(self, note: str) -> str:
        left = self.left()
        values = {"what": self.what, "done": self.done, "total": self.total, "unit": self.unit}
        return json.dumps({**values, "left_s": None if left is None else round(left, 1), "note": note})


def progress(items: Iterable[T], what: str, unit: str, total: int = 0) -> Iterator[T]:
    """`items` as they are, counted as they pass."""
    shown = ProgressBar(what, total or (len(items) if isinstance(items, Sized) else 0), unit)
    try:
        for item in items:
            yield item
            shown.step()
    finally:
        shown.close()


def counted(number: int, unit: str) -> str:
    """`1 face`, `2,000 faces`."""
    return f"{number:,} {unit}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for size, name in ((86400, "days"), (3600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
