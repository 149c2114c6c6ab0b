"""Ten million names on one driver: the same plan as with all samples in memory, and a lid on what it costs."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fakeit.pipelines.flows import shard_plan
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, SplitConfig
from fakeit.pipelines.flows.shard_plan import plan_tasks, straddling
from fakeit.pipelines.sources import SampleList, face_synthetics, open_source
from fakeit.pipelines.sources.many import ManySamples

CONFIG = PreprocessConfig(split=SplitConfig(0.2, 0.1))


ALIKE = {  # folders whose every face has the same files
    "a": (".png", "_ldmks.txt"),
    "b": (".png", "_dense.json", "_ldmks.txt", "_seg.png", "_vis.txt"),
    "c": (".png",),
    "d": ("_seg.png", "_seg_ldmks.txt"),
}


def layout(root: Path) -> Path:
    """Faces in folders, with all that may lie beside them, and some that are not whole."""
    for number in range(60):
        stem = root / f"{number // 20:03d}" / f"{number:06d}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        for ending in (".png", "_ldmks.txt", "_seg.png")[: 1 if number == 7 else 3]:
            Path(f"{stem}{ending}").touch()
        if number % 2:
            Path(f"{stem}_vis.txt").touch()
        if number % 3:
            Path(f"{stem}_dense.json").touch()
    for folder, endings in ALIKE.items():
        (root / folder).mkdir()
        for number in range(5):
            for ending in endings:
                (root / folder / f"{number}{ending}").touch()
    (root / "000.png").touch()
    (root / "alone_ldmks.txt").touch()
    (root / "synthesis.json").touch()
    (root / ".hidden.png").touch()
    (root / "001" / "link").symlink_to(root / "000")
    return root


@pytest.mark.parametrize("dense", [False, True])
def test_names_alone_give_the_plan_that_samples_give(
    dense: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source("face_synthetics", str(layout(tmp_path / "faces")), dense=dense)
    few = source.samples()
    monkeypatch.setattr(face_synthetics, "MANY", 1)
    many = source.samples()
    assert isinstance(few, SampleList) and isinstance(many, ManySamples)
    assert sorted(few, key=lambda s: s.id) == sorted(many, key=lambda s: s.id) and len(many) == 76
    assert [many[i] for i in (0, -1)] == [list(many)[0], list(many)[-1]] and list(many[3:9]) == list(many)[3:9]
    assert sorted(map(repr, few.unmatched)) == sorted(map(repr, many.unmatched)) and len(many.unmatched) == 8
    ours, theirs = plan_tasks(many, source, CONFIG), plan_tasks(few, source, CONFIG)
    assert [(t.path, list(t.samples)) for t in ours] == [(t.path, list(t.samples)) for t in theirs]
    assert [t.digest for t in ours] == [t.digest for t in theirs] and straddling(ours) == straddling(theirs) == []
    assert list(pickle.loads(pickle.dumps(ours[0])).samples) == list(ours[0].samples)


def test_folders_whose_faces_are_alike_are_told_in_one_look() -> None:
    for folder, endings in ALIKE.items():
        names = sorted(f"{stem}{ending}" for stem in ("1", "2") for ending in endings)
        found = face_synthetics._alike(names, True)
        assert found == {"a": (["1", "2"], 4), "b": (["1", "2"], 7), "c": (["1", "2"], 0), "d": None}[folder]
        assert face_synthetics._alike([*names, "3_vis.txt"], True) is None
    assert face_synthetics._alike([], True) is None
    assert face_synthetics._alike(["1.png", "10.png", "10_vis.txt", "1_vis.txt"], True) is None


@pytest.mark.parametrize("odd", ["a.jpg", "a.PNG", "ä.png", "a b.png", "a\\b.png"])
def test_a_folder_with_surprises_is_judged_as_before(odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_synthetics, "MANY", 1)
    (layout(tmp_path) / odd).touch()
    assert isinstance(open_source("face_synthetics", str(tmp_path)).samples(), SampleList)


def test_the_order_is_that_of_hashed_bytes() -> None:
    """The plan of old: Python's sort of (seed, id)'s hash; a dataset made before keeps its digest."""
    import hashlib

    import pyarrow as pa

    names = [f"{n:05d}" for n in range(3000)]
    kinds = (face_synthetics.KINDS[4],)
    many = ManySamples("/f/", "", kinds, pa.array(names, pa.large_string()), np.zeros(len(names), np.uint8))
    found = [s.id for t in plan_tasks(many, face_synthetics.FaceSynthetics("/f"), CONFIG) for s in t.samples]
    key = {n: hashlib.blake2b(f"{CONFIG.seed}\0{n}".encode(), digest_size=16).digest() for n in names}
    position = {n: int.from_bytes(key[n][8:], "little") / 2**64 for n in names}
    split = {n: 2 if position[n] < 0.1 else 1 if position[n] < 0.1 + 0.2 else 0 for n in names}
    assert found == sorted(names, key=lambda n: (split[n], key[n]))


def test_keys_of_equal_beginnings_are_ordered_by_their_ends() -> None:
    hashes = [bytes([n % 2] * 8) + bytes([(7 * n) % 10, *[n] * 7]) for n in range(10)]
    keys, split = np.frombuffer(b"".join(hashes), shard_plan._KEY), np.array([0, 1] * 5, np.uint8)
    assert shard_plan._order(keys, split).tolist() == sorted(range(10), key=lambda n: (n % 2, hashes[n]))
    assert shard_plan._order(keys, split * 0).tolist() == sorted(range(10), key=lambda n: hashes[n])


def test_a_million_names_take_little() -> None:
    """0.1 million as Samples and tasks of Samples took 100 MB; 10 million are planned below 2 GB."""
    import pyarrow as pa

    names = pa.array([f"{n // 1000:05d}/{n:08d}" for n in range(100_000)], pa.large_string())
    many = ManySamples("/f/", "", face_synthetics.KINDS, names, np.full(len(names), 5, np.uint8))
    tracemalloc.start()
    tasks = plan_tasks(many, face_synthetics.FaceSynthetics("/f"), CONFIG)
    shipped = sum(len(pickle.dumps(task)) for task in tasks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6 and shipped < 5e6
