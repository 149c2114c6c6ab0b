"""The books of a run: everything that was found is used, rejected with its reason, or counted as unmatched, and the sum
is held against what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.sources import Unmatched, summary


@dataclass(frozen=True)
class Tally:
    """`samples`: faces that were listed; `used` and `rejected` of them; `unmatched`: what belongs to no face."""

    samples: int
    used: int
    rejected: int
    unmatched: tuple[Unmatched, ...] = ()

    def __post_init__(self) -> None:
        if self.used + self.rejected != self.samples:
            raise FakeitError(
                f"of {self.samples:,} samples {self.used:,} are used and {self.rejected:,} rejected: "
                f"{self.samples - self.used - self.rejected:,} are lost, which must not be; make it with --overwrite"
            )

    def line(self) -> str:
        """`found 1,004 = 990 used + 6 rejected + 8 unmatched (8 pictures without points: a.png, b.png, …)`."""
        left = len(self.unmatched)
        told = f" ({summary(self.unmatched)})" if left else ""
        found = self.samples + left
        return f"found {found:,} = {self.used:,} used + {self.rejected:,} rejected + {left:,} unmatched{told}"

    def stored(self) -> dict[str, Any]:
        """For the manifest: kind → how many, and the first few names."""
        kinds: dict[str, list[str]] = {}
        for entry in self.unmatched:
            kinds.setdefault(entry.kind, []).append(entry.name)
        return {kind: {"count": len(names), "examples": names[:20]} for kind, names in kinds.items()}


def unmatched_of(samples: Sequence[Any]) -> tuple[Unmatched, ...]:
    """What a source's list of samples says it left over."""
    return tuple(getattr(samples, "unmatched", ()))
