"""The shard function and the flow around it: splits, bytes, refusals, resuming, faults."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from fakeit.pipelines.config import load
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.augment import AugmentConfig, Block
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.files import storage
from fakeit.pipelines.flows import preprocess, shard_task
from fakeit.pipelines.flows.preprocess_config import PreprocessConfig, StoreConfig
from fakeit.pipelines.flows.shard_plan import plan_tasks
from fakeit.pipelines.flows.shard_task import ShardTask, make_shard
from fakeit.pipelines.machine import runners
from fakeit.pipelines.sources import open_source
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store import old_parquet
from fakeit.pipelines.store.attempts import put_in_place, sweep_attempts
from fakeit.pipelines.store.shards import file_hash, read_shard

ROOT = Path(__file__).resolve().parents[3]
HERE = runners.in_processes(0)
CONFIG = PreprocessConfig(
    crop=CropConfig(size=32),
    augment=AugmentConfig(variants=3, rotation=Block((-20, 20)), gamma=Block((0.7, 1.4)), flip=Block(probability=0.5)),
    store=StoreConfig(rows_per_shard=16, max_rejected=0.5),
)


def write_faces(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:06d}.png"), random.integers(0, 256, (60, 60, 3)).astype(np.uint8))
        points = random.uniform(10, 50, (70, 2))
        (folder / f"{index:06d}_ldmks.txt").write_text("".join(f"{x:.3f} {y:.3f}\n" for x, y in points))
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), 40)


def _make(faces: Path, dataset: Path, config: PreprocessConfig = CONFIG, **options: Any) -> manifests.Manifest:
    return preprocess.preprocess(config, str(faces), str(dataset), options.pop("runner", HERE), **options).manifest


def test_splits_never_straddle_and_nothing_is_lost(faces: Path, tmp_path: Path) -> None:
    made = _make(faces, tmp_path / "d")
    seen: dict[str, set[str]] = {}
    for split in manifests.SPLITS:
        rows = [read_shard(str(tmp_path / "d" / s.path), made.shape) for s in made.of(split)]
        seen[split] = {i for r in rows for i in r["image_id"]}
        variants = 3 if split == "train" else 1
        assert [s.row_weights for s in made.of(split)] == [70.0] * len(rows)
        assert sum(len(r["image_id"]) for r in rows) == variants * len(seen[split]) == made.rows(split)
    assert sum(len(ids) for ids in seen.values()) == len(set().union(*seen.values())) == 40
    sizes = [s.images for s in made.of("train")]
    assert max(sizes) - min(sizes) <= 1


def test_bytes_do_not_depend_on_who_runs_the_tasks(faces: Path, tmp_path: Path) -> None:
    alone = _make(faces, tmp_path / "a")
    pool = _make(faces, tmp_path / "b", runner=runners.in_processes(2))
    assert alone.digest == pool.digest
    other = _make(faces, tmp_path / "c", replace(CONFIG, seed=2))
    assert other.digest != alone.digest


@pytest.mark.spark
def test_spark_makes_the_same_bytes(faces: Path, tmp_path: Path, spark: Any) -> None:
    assert _make(faces, tmp_path / "a").digest == _make(faces, tmp_path / "b", runner=runners.on_spark(spark)).digest


def test_petastorm_reads_what_we_wrote(faces: Path, tmp_path: Path) -> None:
    old_parquet.register()
    make_reader = pytest.importorskip("petastorm").make_reader
    made = _make(faces, tmp_path / "d")
    ours = read_shard(str(tmp_path / "d" / made.of("train")[0].path), made.shape)
    url = f"file://{tmp_path}/d/train"
    with make_reader(url, reader_pool_type="dummy", shuffle_row_groups=False, num_epochs=1) as reader:
        rows = list(reader)
    assert len(rows) == made.rows("train")
    first = {(row.image_id, row.variant): row for row in rows}[ours["image_id"][0], ours["variant"][0]]
    for name in ("image", "landmarks", "visibility", "weight", "box", "source_from_crop"):
        assert np.array_equal(getattr(first, name), ours[name][0]), name
    groups = [pq.ParquetFile(str(tmp_path / "d" / s.path)).num_row_groups for s in made.shards]
    assert set(groups) == {1}


def test_png_codec_holds_the_same_pixels(faces: Path, tmp_path: Path) -> None:
    png = replace(CONFIG, store=replace(CONFIG.store, image_codec="png"))
    raw, packed = _make(faces, tmp_path / "a"), _make(faces, tmp_path / "b", png)
    for one, two in zip(raw.shards, packed.shards, strict=True):
        a, b = (
            read_shard(str(tmp_path / "a" / one.path), raw.shape),
            read_shard(str(tmp_path / "b" / two.path), packed.shape),
        )
        assert np.array_equal(a["image"], b["image"])


def test_memory_urls(faces: Path) -> None:
    made = preprocess.preprocess(CONFIG, str(faces), "memory://set", HERE).manifest
    assert manifests.load("memory://set").digest == made.digest
    manifests.verify("memory://set", made.shards, hashes=True)


def test_an_output_that_stands_is_refused(faces: Path, tmp_path: Path) -> None:
    made = _make(faces, tmp_path / "d")
    with pytest.raises(FakeitError, match="already holds a dataset; say --resume"):
        _make(faces, tmp_path / "d")
    assert _make(faces, tmp_path / "d", existing="resume").digest == made.digest
    assert _make(faces, tmp_path / "d", existing="overwrite").digest == made.digest
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("years of work")
    with pytest.raises(FakeitError, match="not overwritten"):
        _make(faces, tmp_path / "other", existing="overwrite")
    assert (tmp_path / "other/thesis.txt").exists()


@pytest.mark.fault
def test_resume_makes_only_what_is_missing(faces: Path, tmp_path: Path) -> None:
    made = _make(faces, tmp_path / "d")
    (tmp_path / "d" / manifests.NAME).unlink()
    (tmp_path / "d" / made.shards[0].path).unlink()
    damaged = tmp_path / "d" / made.shards[1].path
    damaged.write_bytes(damaged.read_bytes()[:-10])
    kept = {s.path: (tmp_path / "d" / s.path).stat().st_mtime_ns for s in made.shards[2:]}
    (tmp_path / "d/train/shard-00000.parquet.77.tmp").write_bytes(b"a killed attempt")
    assert _make(faces, tmp_path / "d", existing="resume").digest == made.digest
    assert kept == {s.path: (tmp_path / "d" / s.path).stat().st_mtime_ns for s in made.shards[2:]}
    assert not list((tmp_path / "d").rglob("*.tmp"))
    manifests.verify(str(tmp_path / "d"), made.shards, hashes=True)


@pytest.mark.fault
def test_two_attempts_of_a_task_leave_one_whole_shard(faces: Path, tmp_path: Path) -> None:
    source = open_source("face_synthetics", str(faces))
    task: ShardTask = plan_tasks(source.samples(), source, CONFIG)[0]
    (tmp_path / "_tasks").mkdir()
    (tmp_path / "train").mkdir()
    results = runners.in_processes(2)(_attempt, [(task, str(tmp_path)), (task, str(tmp_path))], lambda _: None)
    assert results[0].shard == results[1].shard
    shard, attempt = results[1].shard, results[1].attempt
    put_in_place(str(tmp_path), [(shard, attempt)])
    sweep_attempts(str(tmp_path), told=False)
    assert [p.name for p in (tmp_path / "train").iterdir()] == ["shard-00000.parquet"]
    assert [p.name for p in (tmp_path / "_tasks").iterdir()] == ["train-shard-00000.json"]
    assert file_hash(str(tmp_path / task.path)) == shard.sha256


@pytest.mark.fault
@pytest.mark.parametrize("looked", ["last", "before the winner ended"])
def test_a_loser_that_ends_after_the_commit_changes_nothing(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked: str
) -> None:
    """A second attempt at the first shard, which has other pixels (another decoder), ends when the dataset stands."""
    make_rows, finished, wanted = shard_task.make_rows, shard_task.finished, _make(faces, tmp_path / "w")
    go_on, began, losers = threading.Event(), threading.Event(), []

    def slowly(task: ShardTask) -> Any:
        rows, rejected = make_rows(task)
        if threading.current_thread() in losers:
            rows["image"] = rows["image"] ^ 1
            began.set()
            assert go_on.wait(60)
        return rows, rejected

    def look(*arguments: Any) -> Any:
        blind = looked != "last" and threading.current_thread() in losers
        return None if blind else finished(*arguments)

    def run(function: Any, tasks: Any, progress: Any) -> list[Any]:
        losers.append(threading.Thread(target=lambda: function(tasks[0])))
        losers[0].start()
        assert began.wait(30)
        return [function(task) for task in tasks]

    monkeypatch.setattr(shard_task, "make_rows", slowly)
    monkeypatch.setattr(shard_task, "finished", look)
    made = _make(faces, tmp_path / "d", runner=run)
    stood = _identities(tmp_path / "d")
    go_on.set()
    losers[0].join(30)
    assert not losers[0].is_alive() and made.digest == wanted.digest and _identities(tmp_path / "d") == stood
    manifests.verify(str(tmp_path / "d"), made.shards, hashes=True)
    assert len(list((tmp_path / "d").rglob("*.attempt"))) == (looked != "last"), "under a name that nothing names"


def _identities(dataset: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in dataset.glob("*/*.parquet")}


@pytest.mark.fault
def test_a_commit_that_is_killed_between_two_shards_goes_on(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fakeit.pipelines.store import attempts

    moved: list[str] = []

    def dies(old: str, new: str) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(new)
        storage.put_over(old, new)

    monkeypatch.setattr(attempts, "put_over", dies)
    with pytest.raises(KeyboardInterrupt):
        _make(faces, tmp_path / "d")
    assert not (tmp_path / "d" / manifests.NAME).exists() and len(list((tmp_path / "d").glob("*/*.parquet"))) == 2
    monkeypatch.undo()
    stood = _identities(tmp_path / "d")
    made = _make(faces, tmp_path / "d", existing="resume")
    assert made.digest == _make(faces, tmp_path / "w").digest and stood.items() <= _identities(tmp_path / "d").items()
    assert not list((tmp_path / "d").rglob("*.attempt"))


def _attempt(job: tuple[ShardTask, str]) -> Any:
    return make_shard(*job)


@pytest.mark.fault
def test_a_shard_that_changed_is_found(faces: Path, tmp_path: Path) -> None:
    made = _make(faces, tmp_path / "d")
    place = tmp_path / "d" / made.shards[0].path
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(bytes(data))
    with pytest.raises(FakeitError, match="shard-00000.parquet was altered"):
        manifests.verify(str(tmp_path / "d"), made.shards, hashes=True)
    place.write_bytes(bytes(data[:-1]))
    with pytest.raises(FakeitError, match="bytes, the manifest says"):
        manifests.verify(str(tmp_path / "d"), made.shards)
    place.unlink()
    with pytest.raises(FakeitError, match="is missing"):
        manifests.verify(str(tmp_path / "d"), made.shards)


def _damage(folder: Path) -> dict[str, str]:
    """Six kinds of damage and four of bad points; id → what the reason must say."""
    (folder / "000000.png").write_bytes((folder / "000000.png").read_bytes()[:500])
    broken = bytearray((folder / "000001.png").read_bytes())
    broken[len(broken) // 2] ^= 255
    (folder / "000001.png").write_bytes(bytes(broken))
    (folder / "000002.png").write_bytes(b"")
    (folder / "000003.png").write_text("not a picture")
    points = (folder / "000004_ldmks.txt").read_text().splitlines()
    (folder / "000004_ldmks.txt").write_text("\n".join(points[:-1]))
    (folder / "000005_ldmks.txt").write_text("\n".join(["a b", *points[1:]]))
    (folder / "000006_ldmks.txt").write_text("\n".join(["nan 4", *points[1:]]))
    (folder / "000007_ldmks.txt").write_text("\n".join(["4000 4", *points[1:]]))
    (folder / "000008_ldmks.txt").write_text("\n".join(["30 30"] * 70))
    (folder / "000009_ldmks.txt").unlink()
    return {
        "000000": "truncated", "000001": "damaged", "000002": "empty", "000003": "not an image", "000004": "69 lines",
        "000005": "_ldmks.txt:1", "000006": "_ldmks.txt:1", "000007": "far outside", "000008": "within 2 pixels",
        "000009": "no points file",
    }  # fmt: skip


@pytest.mark.fault
def test_all_damage_is_quarantined_and_its_neighbours_are_unharmed(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "faces", 30)
    whole = _make(folder, tmp_path / "whole")
    reasons = _damage(folder)
    made = _make(folder, tmp_path / "d")
    assert {r.image_id for r in made.rejected} == set(reasons)
    for rejection in made.rejected:
        assert reasons[rejection.image_id] in rejection.reason, rejection
    before, after = (_pixels(tmp_path / name, m) for name, m in (("whole", whole), ("d", made)))
    assert set(after) == {key for key in before if key[0] not in reasons}
    assert all(np.array_equal(before[key], after[key]) for key in after)


def _pixels(dataset: Path, made: manifests.Manifest) -> dict[tuple[str, int], np.ndarray]:
    rows = [read_shard(str(dataset / s.path), made.shape) for s in made.shards]
    return {
        (i, int(v)): image for r in rows for i, v, image in zip(r["image_id"], r["variant"], r["image"], strict=True)
    }


@pytest.mark.fault
def test_too_many_rejects_leave_no_manifest(tmp_path: Path) -> None:
    folder = write_faces(tmp_path / "faces", 30)
    _damage(folder)
    strict = replace(CONFIG, store=replace(CONFIG.store, max_rejected=0.01))
    with pytest.raises(FakeitError, match="10 of 30 samples were rejected") as caught:
        _make(folder, tmp_path / "d", strict)
    assert "truncated" in str(caught.value)
    with pytest.raises(FakeitError, match="no manifest.json"):
        manifests.load(str(tmp_path / "d"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "nowhere"], "no such folder"),
        (["--input", "{empty}"], "no pairs"),
        (["--input", "{faces}", "--set", "crop.sise=3"], "did you mean 'size'"),
        (["--input", "{faces}", "--set", "crop.size=big"], "whole number"),
        (["--input", "{faces}", "--out", "x"], "did you mean '--output'"),
    ],
)
def test_one_line_and_exit_code_2(faces: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "empty").mkdir()
    filled = [a.format(empty=tmp_path / "empty", faces=faces) for a in arguments]
    conf = ["--config", "conf/preprocess/face_synthetics.toml", "--output", str(tmp_path / "d"), "--workers", "0"]
    command = [sys.executable, "jobs/preprocess.py", *conf, *filled]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "d" / manifests.NAME).exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("split.val=nan", "split.val nan and split.test 0.1 must be 0 or more and add up to at most 1"),
        ("store.max_rejected=5", "store.max_rejected is 5.0; a share of the samples, 0 to 1"),
        ("store.max_rejected=nan", "store.max_rejected is nan"),
        ("augment.flip.probability=50", "augment.flip.probability is 50.0; it must lie in 0 to 1"),
        ("augment.blur.range=[1, inf]", r"augment.blur.range is \[1.0, inf\]; two finite numbers"),
        ("augment.hue.range=[9, -9]", r"augment.hue.range is \[9.0, -9.0\], which runs backwards"),
        ("augment.motion_blur.range=[-3, 0]", r"augment.motion_blur.range is \[-3.0, 0.0\]; it must start at 0"),
        ("augment.gamma.range=[0, 2]", r"augment.gamma.range is \[0.0, 2.0\]; it must be above 0"),
        ("augment.brightness.range=[-20, 20]", r"augment.brightness.range is \[-20.0, 20.0\]; it is a share of 255"),
    ],
)
def test_figures_that_mean_nothing_are_refused_by_name(override: str, words: str) -> None:
    """5 for 5 % let every reject pass, a blur below 0 made black rows, and of 20 blocks nobody knew which was meant."""
    with pytest.raises(FakeitError, match=rf"folder\.toml: {words}"):
        load(ROOT / "conf/preprocess/folder.toml", PreprocessConfig, [override])


def test_every_conf_of_preprocess_loads() -> None:
    for path in sorted((ROOT / "conf/preprocess").glob("*.toml")):
        load(path, PreprocessConfig)


def test_manifest_of_another_format(faces: Path, tmp_path: Path) -> None:
    _make(faces, tmp_path / "d")
    place = tmp_path / "d" / manifests.NAME
    place.write_text(json.dumps(json.loads(place.read_text()) | {"format": 99}))
    with pytest.raises(FakeitError, match="format 99, this version reads format 1"):
        manifests.load(str(tmp_path / "d"))
    place.write_text("{")
    with pytest.raises(FakeitError, match="not JSON"):
        manifests.load(str(tmp_path / "d"))
