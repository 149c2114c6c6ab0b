"""Which of many 64-bit hashes of pictures lie within a few bits of each other, without comparing each with each.

64 bits are cut into `apart + 3` bands. Hashes that differ in at most `apart` bits are equal in at least three bands,
so they stand together when hashes are sorted by some three of them (27 bits at `apart` 4): only such are compared.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

_EQUAL = 3  # bands
_BITS_OF = np.array([bin(value).count("1") for value in range(1 << 16)], np.uint8)


def near_pairs(hashes: NDArray[np.uint64], apart: int) -> list[tuple[int, int]]:
    """Pairs of positions in `hashes`, (N,), whose hashes differ in at most `apart` bits; each the lower one first.

    Of equal hashes each is paired with the first alone, and only the first with others: a thousand copies of one
    picture are 999 pairs.
    """
    kinds, firsts, kind_of = np.unique(hashes, return_index=True, return_inverse=True)
    same = np.flatnonzero(firsts[kind_of] != np.arange(len(hashes)))
    pairs = set(zip(firsts[kind_of[same]].tolist(), same.tolist(), strict=True))
    for low, high in _near_kinds(kinds, apart):
        one, other = int(firsts[low]), int(firsts[high])
        pairs.add((min(one, other), max(one, other)))
    return sorted(pairs)


def _near_kinds(kinds: NDArray[np.uint64], apart: int) -> set[tuple[int, int]]:
    """Pairs of positions in `kinds`, which are all different."""
    found: set[tuple[int, int]] = set()
    edges = np.linspace(0, 64, apart + _EQUAL + 1).astype(int).tolist()
    bands = [((1 << high) - 1) ^ ((1 << low) - 1) for low, high in zip(edges, edges[1:], strict=False)]
    for chosen in combinations(bands, _EQUAL):
        keys = kinds & np.uint64(sum(chosen))
        order = np.argsort(keys, kind="stable")
        ordered, step = keys[order], 1
        here = np.arange(len(order) - 1)
        while len(here):  # neighbours at a distance of 1, 2, … as long as some share their key
            here = here[here + step < len(order)]
            here = here[ordered[here] == ordered[here + step]]
            one, other = order[here], order[here + step]
            near = bit_count(kinds[one] ^ kinds[other]) <= apart
            found.update(zip(one[near].tolist(), other[near].tolist(), strict=True))
            step += 1
    return {(min(pair), max(pair)) for pair in found}


def bit_count(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(N,) how many bits of each are set."""
    return _BITS_OF[np.ascontiguousarray(values).view(np.uint16).reshape(-1, 4)].sum(1, dtype=np.int64)
