"""The plan's promises, for every world size."""

from __future__ import annotations

import numpy as np
import pytest

from fakeit.model.data.batch_plan import DataSource, Plan, batch_at, bounds, rank_bounds
from fakeit.pipelines.errors import FakeitError

SHARDS = (13, 12, 12, 12)


def ranks(plan: Plan, epoch: int, world: int, first: int = 0) -> list[list[list[int]]]:
    """rank → batches → rows."""
    order, batches = plan.order(epoch), plan.batches(epoch)
    parts: list[list[list[int]]] = [[] for _ in range(world)]
    for number in range(first, batches):
        start, end = bounds(len(order), number, batches)
        for rank in range(world):
            low, high = rank_bounds(start, end, rank, world)
            parts[rank].append(order[low:high].tolist())
    return parts


@pytest.mark.parametrize("world", range(1, 9))
@pytest.mark.parametrize("batch_size", [1, 7, 16, 64])
def test_every_row_once_an_epoch_and_equal_batches_on_every_rank(world: int, batch_size: int) -> None:
    plan = Plan((DataSource(SHARDS),), batch_size, seed=3, shuffle_block_shards=2)
    parts = ranks(plan, 0, world)
    seen = sorted(row for rank in parts for batch in rank for row in batch)
    assert seen == list(range(sum(SHARDS)))
    assert len({len(rank) for rank in parts}) == 1
    sizes = [[len(batch) for batch in rank] for rank in parts]
    for batch in zip(*sizes, strict=True):
        assert max(batch) - min(batch) <= 1
    globals_ = [sum(batch) for batch in zip(*sizes, strict=True)]
    assert max(globals_) <= batch_size and max(globals_) - min(globals_) <= 1


def test_epochs_are_shuffled_anew_and_the_same_for_the_same_seed() -> None:
    plan = Plan((DataSource(SHARDS),), 8, seed=1)
    assert (plan.order(0) != plan.order(1)).any()
    assert (plan.order(5) == Plan((DataSource(SHARDS),), 8, seed=1).order(5)).all()
    assert (plan.order(0) != Plan((DataSource(SHARDS),), 8, seed=2).order(0)).any()


def test_rows_are_shuffled_across_shards_but_within_blocks() -> None:
    order = Plan((DataSource((100,) * 10),), 10, shuffle_block_shards=2).order(0)
    for start in range(0, 1000, 200):
        assert len(set((order[start : start + 200] // 100).tolist())) == 2
    assert len(set((order[:20] // 100).tolist())) == 2


@pytest.mark.parametrize("before", [1, 2, 4])
@pytest.mark.parametrize("after", [1, 3, 8])
@pytest.mark.parametrize("stopped", [0, 1, 4])
def test_a_run_goes_on_in_mid_epoch_with_another_world_size(before: int, after: int, stopped: int) -> None:
    plan = Plan((DataSource(SHARDS),), 8, seed=9)
    rows, batches = plan.rows(2), plan.batches(2)
    position = bounds(rows, stopped, batches)[0]
    assert batch_at(rows, batches, position) == stopped
    whole = ranks(plan, 2, before)
    rest = ranks(plan, 2, after, stopped)
    first = [row for batch in range(stopped) for rank in whole for row in rank[batch]]
    second = [row for batch in range(batches - stopped) for rank in rest for row in rank[batch]]
    assert first + second == plan.order(2).tolist()


def test_a_changed_batch_size_in_mid_epoch_is_refused() -> None:
    with pytest.raises(FakeitError, match="batch size"):
        batch_at(49, 7, 10)


def test_shares_of_a_mix_are_kept() -> None:
    parts = (DataSource((40, 40)), DataSource((10,), passes_per_epoch=3.0), DataSource((30,), passes_per_epoch=0.25))
    plan = Plan(parts, 16, seed=4)
    for epoch in range(4):
        counts = plan.expected(epoch)
        assert (counts[:80] == 1).all() and (counts[80:90] == 3).all()
        assert counts[90:].sum() in (7, 8)
        assert plan.rows(epoch) == counts.sum() == len(plan.order(epoch))
    assert (sum(plan.expected(e)[90:] for e in range(4)) == 1).all()  # type: ignore[union-attr]
    order = plan.order(0)
    places = np.flatnonzero((order >= 80) & (order < 90))
    assert np.ptp(places) > len(order) / 2, "the small set must be spread over the epoch"


def test_a_share_of_few_rows_may_be_none_of_them_in_some_epochs() -> None:
    plan = Plan((DataSource(SHARDS), DataSource((3,), 0.25), DataSource((), 0.5)), 16)
    few = [row for epoch in range(4) for row in plan.order(epoch).tolist() if row >= sum(SHARDS)]
    assert [len(plan.order(epoch)) for epoch in range(4)] == [plan.rows(epoch) for epoch in range(4)]
    assert len(few) == 3 and len(set(few)) == 3, "each once in four epochs"


def test_fewer_rows_than_ranks_still_gives_every_rank_its_batches() -> None:
    parts = ranks(Plan((DataSource((3,)),), 64), 0, 8)
    assert [len(rank) for rank in parts] == [1] * 8
    assert sorted(row for rank in parts for row in rank[0]) == [0, 1, 2]


def test_a_rank_s_rows_lie_in_few_shards_and_batches_keep_their_rows() -> None:
    parts, world = (DataSource((100,) * 12), DataSource((90,) * 4, 0.5)), 8
    plain, grouped = (Plan(parts, 160, seed=4, shuffle_block_shards=4, rows_by_shard=on) for on in (False, True))
    order, batches = (plan.order(3) for plan in (plain, grouped)), plain.batches(3)
    mixed, sorted_ = order
    shards = np.repeat(np.arange(16), [100] * 12 + [90] * 4)
    touched = {"plain": 0, "grouped": 0}
    for number in range(batches):
        start, end = bounds(len(mixed), number, batches)
        assert sorted(mixed[start:end]) == sorted(sorted_[start:end])
        for rank in range(world):
            low, high = rank_bounds(start, end, rank, world)
            touched["plain"] += len(set(shards[mixed[low:high]]))
            touched["grouped"] += len(set(shards[sorted_[low:high]]))
    assert touched["grouped"] < touched["plain"] / 2 and touched["grouped"] <= 2.2 * batches * world
    first = sorted_[: bounds(len(mixed), 0, batches)[1]]
    assert any((np.diff(first[shards[first] == shard]) < 0).any() for shard in set(shards[first])), "still shuffled"


@pytest.mark.parametrize("passes", [0.01, 0.25, 3.0])
def test_validation_sees_every_row_once_whatever_training_sees(passes: float) -> None:
    """`passes_per_epoch = 0.01` made one batch of 10,000 rows of it."""
    plan = Plan((DataSource((600, 400), passes),), 64, shuffled=False)
    assert plan.rows(0) == 1000 and plan.batches(0) == 16
    sizes = [end - start for start, end in (bounds(1000, n, 16) for n in range(16))]
    assert sum(sizes) == 1000 and max(sizes) <= 64 and plan.expected(0).tolist() == [1] * 1000
