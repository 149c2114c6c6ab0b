"""Samples by the million: names in Arrow's columns, a `Sample` made when one is asked for.

Ten million `Sample`s as Python objects take 5 GB, and a plan would hold them twice. Here a sample is its stem (its name
without ending) and a number that says what lies beside it: 20 bytes. A part of them is pickled as those alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fakeit.pipelines.sources import Sample, Unmatched

AT_ONCE = 65536  # names that are Python strings at a time


@dataclass(frozen=True)
class Kind:
    """What lies at a stem: the endings of its picture, of its points (None: none there), and of what lies beside."""

    image: str
    annotation: str | None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class ManySamples(Sequence[Sample]):
    """Samples of one folder, none of which has a split, a group or boxes of its own.

    Attributes:
        before: what stands before a stem in a location.
        prefix: what stands before it in an id.
        kinds: what lies at a stem.
        stems: (N,) strings.
        kind: (N,) uint8 numbers of `kinds`.
        unmatched: what of the folder is no sample.
    """

    before: str
    prefix: str
    kinds: tuple[Kind, ...]
    stems: pa.Array
    kind: NDArray[np.uint8]
    unmatched: tuple[Unmatched, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.kind)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> ManySamples: ...
    def __getitem__(self, index: int | slice) -> Sample | ManySamples:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        return self._sample(self.stems[index].as_py(), int(self.kind[index]))

    def __iter__(self) -> Iterator[Sample]:
        for start, stems in zip(range(0, len(self), AT_ONCE), self._stems(), strict=True):
            yield from map(self._sample, stems, self.kind[start : start + AT_ONCE].tolist())

    def _sample(self, stem: str, kind: int) -> Sample:
        known, place = self.kinds[kind], self.before + stem
        annotation = None if known.annotation is None else place + known.annotation
        beside = tuple([place + ending for ending in known.beside])
        return Sample(self.prefix + stem, place + known.image, annotation, beside=beside)

    def take(self, indices: NDArray[np.integer]) -> ManySamples:
        """These samples alone, in this order; what is unmatched stays with the whole."""
        return replace(self, stems=self.stems.take(pa.array(indices)), kind=self.kind[indices], unmatched=())

    def ids(self) -> Iterator[str]:
        for stems in self._stems():
            yield from [self.prefix + stem for stem in stems] if self.prefix else stems

    def _stems(self) -> Iterator[list[str]]:
        for start in range(0, len(self), AT_ONCE):
            part = self.stems.slice(start, AT_ONCE)
            yield part.to_numpy(zero_copy_only=False).tolist()  # three times quicker than to_pylist
