"""Readers under one contract, and the loader: same rows whoever reads, counted, in any scheme, streamed or resident."""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tiny_dataset import make_dataset

from fakeit.model.data import dataset as dataset_module
from fakeit.model.data.batch_plan import Plan
from fakeit.model.data.dataset import READERS, DatasetSpec, ShardedDataset
from fakeit.model.data.loader import Batch, Loader, prefetch
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files import storage
from fakeit.pipelines.store import inspection, row_weights, shards
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.shards import read_shard


def open_store(*folders: Path, reader: str = "arrow", **options: object) -> ShardedDataset:
    return ShardedDataset([DatasetSpec(str(f)) for f in folders], "train", reader, **options)  # type: ignore[arg-type]


def batches(store: ShardedDataset, size: int = 6, rank: int = 0, world: int = 1, resident: bool = False) -> list[Batch]:
    loader = Loader(store, Plan(store.parts(), size, seed=5), rank, world, resident=resident)
    found = list(loader.epoch(1))
    if world == 1:
        loader.check_seen(loader.seen, 1)
    return found


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("codec", ["raw", "png"])
@pytest.mark.parametrize("colour", ["rgb", "grey"])
def test_every_reader_gives_what_the_store_holds(tmp_path: Path, reader: str, codec: str, colour: str) -> None:
    folder = make_dataset(tmp_path / "set", variants=2, codec=codec, colour=colour, missing=0.2)
    manifest = manifests.load(str(folder))
    for shard in manifest.of("train"):
        location = str(folder / shard.path)
        opened, rows = READERS[reader](location, manifest.shape), read_shard(location, manifest.shape)
        assert opened.images.dtype == np.uint8
        np.testing.assert_array_equal(opened.images, rows["image"])
        np.testing.assert_array_equal(opened.landmarks, rows["landmarks"])
        np.testing.assert_array_equal(opened.weight, rows["weight"] * np.isfinite(rows["landmarks"]).all(-1))
        assert opened.image_ids == rows["image_id"]
        assert opened.variants.tolist() == rows["variant"].tolist()
        assert bool(opened.mapped) == (reader == "arrow" and codec == "raw")


@pytest.mark.parametrize("reader", READERS)
def test_a_broken_shard_is_named(tmp_path: Path, reader: str) -> None:
    folder = make_dataset(tmp_path / "set")
    manifest = manifests.load(str(folder))
    path = folder / manifest.of("train")[1].path
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FakeitError, match="shard-00001.parquet"):
        READERS[reader](str(path), manifest.shape)
    with pytest.raises(FakeitError, match="shard-00001.parquet"):
        open_store(folder).verify()
    path.unlink()
    with pytest.raises(FakeitError, match="shard-00001.parquet.* is missing"):
        READERS[reader](str(path), manifest.shape)


class Attack:
    """Unpickles into `exec`, which Petastorm's list of safe modules holds."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


@pytest.mark.fault
@pytest.mark.parametrize("reader", READERS)
def test_a_schema_that_would_run_code_is_not_unpickled(tmp_path: Path, reader: str) -> None:
    from petastorm.etl.dataset_metadata import UNISCHEMA_KEY

    folder = make_dataset(tmp_path / "set")
    manifest = manifests.load(str(folder))
    path = folder / "train" / "_common_metadata"
    schema = pq.read_schema(path)
    hostile = {**(schema.metadata or {}), UNISCHEMA_KEY: pickle.dumps(Attack(tmp_path / "ran"), protocol=2)}
    pq.write_metadata(schema.with_metadata(hostile), path)
    location = str(folder / manifest.of("train")[0].path)
    try:
        opened = READERS[reader](location, manifest.shape)
        np.testing.assert_array_equal(opened.images, read_shard(location, manifest.shape)["image"])
    except FakeitError:
        pass  # to refuse such a dataset is right as well
    assert not (tmp_path / "ran").exists(), "the dataset's author ran code here"


def test_readers_and_the_resident_copy_give_the_same_batches(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", missing=0.2)
    expected = batches(open_store(folder))
    others = [batches(open_store(folder, reader="petastorm")), batches(open_store(folder), resident=True)]
    for other in others:
        assert len(other) == len(expected) == 4
        for a, b in zip(expected, other, strict=True):
            assert torch.equal(a.images, b.images) and torch.equal(a.weight, b.weight)
            assert torch.allclose(a.landmarks, b.landmarks, equal_nan=True)
            assert a.total_weight == b.total_weight == pytest.approx(a.weight.sum().item())


def test_the_resident_copy_of_few_images_needs_no_row_of_every_shard(tmp_path: Path) -> None:
    store = open_store(make_dataset(tmp_path / "set", train=(5, 4)), images=3)
    for streamed, resident in zip(batches(store), batches(store, resident=True), strict=True):
        assert torch.equal(streamed.images, resident.images)


def test_ranks_share_a_batch_and_know_its_whole_weight(tmp_path: Path) -> None:
    store = open_store(make_dataset(tmp_path / "set", missing=0.2))
    whole = batches(store)
    parts = [batches(store, rank=rank, world=4) for rank in range(4)]
    for number, batch in enumerate(whole):
        together = [part[number] for part in parts if not part[number].filler]
        assert torch.equal(torch.cat([p.images for p in together]), batch.images)
        assert {p.total_weight for p in together} == {batch.total_weight}
        assert [p.first for p in together] == np.cumsum([0, *(len(p.rows) for p in together)])[:-1].tolist()


def _without_weights(folder: Path) -> Path:
    """The dataset as older versions wrote it."""
    told = json.loads((folder / manifests.NAME).read_text())
    assert set(told.pop("row_weights")) == {shard["path"] for shard in told["shards"]}
    (folder / manifests.NAME).write_text(json.dumps(told))
    return folder


def test_what_rows_weigh_comes_from_the_manifest_and_a_rank_opens_its_own_shards(tmp_path: Path) -> None:
    """Ranks of an older dataset open every shard of a global batch, and get the very same numbers."""
    new = make_dataset(tmp_path / "new", (12, 12, 12, 12), missing=0.3)
    old = _without_weights(make_dataset(tmp_path / "old", (12, 12, 12, 12), missing=0.3))
    opened: dict[str, list[int]] = {"new": [], "old": []}
    totals: dict[str, list[float]] = {"new": [], "old": []}
    for rank in range(4):
        for name, folder in (("new", new), ("old", old)):
            store = open_store(folder)
            assert store.weights_known == (name == "new")
            loader = Loader(store, Plan(store.parts(), 48, seed=5, rows_by_shard=True), rank, 4)
            (batch,) = loader.epoch(0)
            totals[name].append(batch.total_weight)
            opened[name].append(len(store._opened))
    assert totals["new"] == totals["old"] and len(set(totals["new"])) == 1
    assert opened == {"new": [1, 1, 1, 1], "old": [4, 4, 4, 4]}


def test_weights_that_are_not_those_of_the_rows_are_told(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", (10,))
    told = json.loads((folder / manifests.NAME).read_text())
    for wrong, message in (
        (4.0, "its rows weigh other than the manifest says"),
        (row_weights.pack(np.arange(10.0)), "its rows weigh other than the manifest says"),
        (row_weights.pack(np.arange(9.0)), "not those of 10 rows"),
        (row_weights.pack(np.arange(11.0)), "not those of 10 rows"),
        ("%", "cannot be read"),
        ("eJz", "cannot be read"),
    ):
        told["row_weights"]["train/shard-00000.parquet"] = wrong
        (folder / manifests.NAME).write_text(json.dumps(told))
        with pytest.raises(FakeitError, match=message):
            batches(open_store(folder))
    with pytest.raises(FakeitError, match="weigh other|cannot be read"):
        inspection.describe(str(folder), safe=True)


@pytest.mark.parametrize("resident", [False, True])
def test_a_part_may_begin_with_the_row_before_it(tmp_path: Path, resident: bool) -> None:
    store = open_store(make_dataset(tmp_path / "set"))
    plan = Plan(store.parts(), 6, seed=5)
    order = plan.order(1)
    for rank in range(3):
        loader = Loader(store, plan, rank, 3, resident=resident, mixup_halo=True)
        for batch in loader.epoch(1):
            start = batch.end - batch.global_size
            own = order[start + batch.first : start + batch.first + len(batch.rows) - 1]
            before = order[start + batch.first - 1] if batch.first else order[batch.end - 1]
            assert batch.rows.tolist() == [before, *own] and len(batch.images) == len(batch.rows)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("damage", "message"),
    [("cut", "was cut short"), ("gone", "has vanished"), ("replaced", "was written over"), ("zeros", "written over")],
)
def test_a_shard_that_changes_while_it_is_mapped_is_named(tmp_path: Path, damage: str, message: str) -> None:
    """Reading on would end the process with SIGBUS, or train on something else."""
    folder = make_dataset(tmp_path / "set", train=(40,))
    store = open_store(folder)
    images = np.empty((40, 32, 32, 3), np.uint8)
    store.gather(np.arange(40), images)
    path = folder / "train" / "shard-00000.parquet"
    data = path.read_bytes()
    if damage == "cut":
        os.truncate(path, len(data) // 2)
    elif damage == "zeros":
        path.write_bytes(bytes(len(data)))
    else:
        path.unlink()
        if damage == "replaced":
            path.write_bytes(data)
    with pytest.raises(FakeitError, match=f"shard .*shard-00000.parquet .*{message}"):
        store.gather(np.arange(40), images)


@pytest.mark.fault
@pytest.mark.parametrize("error", [pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError])
def test_whatever_arrow_says_of_a_damaged_shard_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A bit that makes a column's type one of 128 bits ended in ArrowNotImplementedError, seen by fuzzing."""
    made = manifests.load(str(make_dataset(tmp_path / "set")))

    def refuse(*_: Any, **__: Any) -> Any:
        raise error("Integers with more than 64 bits not implemented")

    monkeypatch.setattr(shards.pq, "ParquetFile", refuse)
    shard = str(tmp_path / "set" / made.of("train")[0].path)
    for read in (lambda: read_shard(shard, made.shape), lambda: shards.read_columns(shard, made.shape, ["landmarks"])):
        with pytest.raises(FakeitError, match="cannot be read: Integers"):
            read()


def test_an_empty_part_is_filled_with_a_row_that_weighs_nothing(tmp_path: Path) -> None:
    store = open_store(make_dataset(tmp_path / "set", train=(3,)))
    parts = [batches(store, size=8, rank=rank, world=8)[0] for rank in range(8)]
    assert sorted(len(p.rows) for p in parts) == [1] * 8
    assert sum(p.filler for p in parts) == 5
    assert sum(p.weight.sum().item() for p in parts) == parts[0].total_weight == 15


def test_a_row_that_was_missed_is_named(tmp_path: Path) -> None:
    store = open_store(make_dataset(tmp_path / "set"))
    loader = Loader(store, Plan(store.parts(), 6))
    for number, _ in enumerate(loader.epoch(0)):
        if number == 2:
            break
    with pytest.raises(FakeitError, match=r"rows were not seen as often as planned.*face-\d+-\d+#0 \(0×\)"):
        loader.check_seen(loader.seen, 0)


def test_datasets_are_mixed_in_one_scheme(tmp_path: Path) -> None:
    seventy = make_dataset(tmp_path / "a", scheme_name="face70", train=(4,), val=())
    sixty_eight = make_dataset(tmp_path / "b", scheme_name="ibug68", train=(3,), val=(), seed=2)
    store = open_store(seventy, sixty_eight)
    rows = np.arange(7)
    landmarks, weight, seen = store.gather(rows, np.empty((7, 32, 32, 3), np.uint8))
    assert landmarks.shape == (7, 70, 2) and (weight[4:, 68:] == 0).all() and (weight[4:, :68] == 1).all()
    assert (seen[4:, 68:] == 0).all() and (seen[4:, :68] == 2).all()
    five = open_store(seventy, sixty_eight, scheme="five")
    assert five.gather(rows, np.empty((7, 32, 32, 3), np.uint8))[0].shape == (7, 5, 2)
    with pytest.raises(FakeitError, match="crop.size is 32 .* and 48"):
        open_store(seventy, make_dataset(tmp_path / "c", size=48, scheme_name="face70"))


@pytest.mark.parametrize("reader", ["arrow", "petastorm"])
def test_dense_points_follow_the_schemes_where_they_are_asked_for(tmp_path: Path, reader: Any) -> None:
    with_them = make_dataset(tmp_path / "a", train=(4,), val=(), dense=True)
    without = make_dataset(tmp_path / "b", train=(3,), val=(), seed=2)
    mix = [DatasetSpec(str(with_them)), DatasetSpec(str(without))]
    store, rows = ShardedDataset(mix, "train", reader, dense=True), np.arange(7)
    landmarks, weight, seen = store.gather(rows, np.empty((7, 32, 32, 3), np.uint8))
    assert landmarks.shape == (7, 405, 2) and seen.shape == (7, 405)
    assert np.isfinite(landmarks[:4]).all() and np.isnan(landmarks[4:, 5:]).all()
    assert (weight[:4, 5:] == 1).all() and (weight[4:, 5:] == 0).all() and set(seen[:4, 5:].ravel().tolist()) == {1, 2}
    assert store.row_weights(rows) == 7 * 5, "dense points do not count in a row's weight"
    plain = ShardedDataset(mix, "train", reader).gather(rows, np.empty((7, 32, 32, 3), np.uint8))
    assert np.array_equal(plain.landmarks, landmarks[:, :5])
    assert ShardedDataset(mix[1:], "train", reader, dense=True).dense == 0


def test_subsets_are_nested(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", train=(5, 5, 5), variants=2)
    names = [set(s.ids(np.arange(s.rows))) for s in (open_store(folder, images=n) for n in (3, 7, 15, 0))]
    assert [len(n) for n in names] == [6, 14, 30, 30]
    assert names[0] < names[1] < names[2] == names[3]


def test_a_dataset_without_manifest_is_none(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match="no manifest.json"):
        open_store(tmp_path)


def test_what_a_thread_raises_is_raised_here() -> None:
    def make(number: int) -> int:
        if number == 3:
            raise FakeitError("shard 3")
        return number

    found = []
    with pytest.raises(FakeitError, match="shard 3"):
        for value in prefetch(make, range(9)):
            found.append(value)
    assert found == [0, 1, 2]


def _open_shards() -> int:
    """Descriptors of shards that this process holds."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{name}").endswith(".parquet")
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors as Linux shows them")
def test_no_more_shards_stay_open_than_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mapped shard held a descriptor for ever: 1 M rows were 1,024 of them, and the run's end."""
    monkeypatch.setattr(dataset_module, "MOST_MAPPED", 6)
    gc.collect()  # other tests' shards
    folder = make_dataset(tmp_path / "set", train=(3,) * 40, val=())
    store = ShardedDataset([DatasetSpec(str(folder))], "train")
    loader = Loader(store, Plan(store.parts(), 4, shuffle_block_shards=2))
    before = _open_shards()
    for epoch in range(2):
        most = max(_open_shards() - before for _ in loader.epoch(epoch))
        loader.check_seen(loader.seen, epoch)
        assert 2 <= most <= 6 + 6, "those in use and the next ones may come on top"
    assert len(store.ids(np.arange(120))) == 120  # closed ones are opened again
    del store, loader
    gc.collect()
    assert _open_shards() <= before


def test_two_threads_may_ask_for_shards(tmp_path: Path) -> None:
    """On a GPU a skipped step's rows are named in one thread while another gathers the next batches: the books of what
    is open were changed under it (KeyError, "mutated during iteration")."""
    store = open_store(make_dataset(tmp_path / "set", train=(3,) * 12, size=16, codec="png", val=()), keep=1)
    store._read = functools.cache(store._read)
    names = store.ids(np.arange(store.rows))

    def some(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(200):
            rows = random.integers(0, store.rows, 4)
            assert store.ids(rows) == [names[row] for row in rows]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(some, range(4)))
    finally:
        sys.setswitchinterval(interval)


def test_labels_lie_in_memory_only_while_their_shard_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rank held the labels of all rows: 8.4 GB at ten million."""
    monkeypatch.setattr(dataset_module, "MOST_MAPPED", 2)
    folder = make_dataset(tmp_path / "set", train=(3,) * 20, val=())
    store = ShardedDataset([DatasetSpec(str(folder))], "train")
    rows = np.arange(store.rows)[::-1]
    landmarks, weight, _ = store.gather(rows, np.empty((len(rows), 32, 32, 3), np.uint8))
    made = [read_shard(str(folder / s.path), store.shape) for s in store.manifests[0].of("train")]
    assert np.array_equal(landmarks, np.concatenate([m["landmarks"] for m in made])[::-1], equal_nan=True)
    assert np.array_equal(weight, store.weights(rows)) and store.row_weights(rows) == weight.sum(dtype=np.float64)
    held = sum(value.nbytes for value in vars(store).values() if isinstance(value, np.ndarray))
    assert held <= 8 * (store.rows + 21), "a row number and a weight, no points"


def test_a_url_is_asked_for_sizes_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_dataset(tmp_path / "set", train=(5, 5), val=())
    url = f"memory://verify-{tmp_path.name}"
    for path in folder.rglob("*"):
        if path.is_file():
            fsspec.filesystem("memory").pipe(f"{url}/{path.relative_to(folder)}", path.read_bytes())
    store = ShardedDataset([DatasetSpec(url)], "train")

    def read(location: str) -> bytes:
        raise AssertionError(f"{location} was read")

    with monkeypatch.context() as closed:
        for module in (storage, shards, manifests):
            closed.setattr(module, "read_bytes", read)
        store.verify()
    fsspec.filesystem("memory").pipe(f"{url}/train/shard-00001.parquet", b"short")
    store.verify(remote=False)
    with pytest.raises(FakeitError, match=r"shard-00001.parquet has 5 bytes, the manifest says \d+"):
        store.verify()
    fsspec.filesystem("memory").rm(f"{url}/train/shard-00001.parquet")
    with pytest.raises(FakeitError, match=r"shard-00001.parquet is missing"):
        store.verify()
