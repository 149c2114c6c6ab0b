"""The pickled schema: written as Petastorm writes it, and never run."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_dataset import make_dataset

from fakeit.model.data.dataset import READERS
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.store import manifest, old_parquet
from fakeit.pipelines.store.inspection import content_digest
from fakeit.pipelines.store.petastorm_schema import (
    NAME,
    ROW_GROUPS_KEY,
    SCHEMA_KEY,
    check,
    petastorm_metadata,
    read_fields,
)
from fakeit.pipelines.store.schema import RowShape
from fakeit.pipelines.store.shards import read_shard, write_shard

ROOT = Path(__file__).resolve().parents[3]
PNG = RowShape(96, 1, 15, "png")


class Runs:
    """An object whose pickle calls `function` when it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def write(folder: Path, pickled: bytes) -> None:
    groups = json.dumps({f"shard-{n:05d}.parquet": 1 for n in range(2)}).encode()
    said = {SCHEMA_KEY: pickled, ROW_GROUPS_KEY: groups}
    pq.write_metadata(pa.schema([("x", pa.int32())]).with_metadata(said), folder / NAME)


@pytest.mark.parametrize("shape", [RowShape(32, 3, 70), PNG])
def test_it_is_what_petastorm_itself_would_write(shape: RowShape) -> None:
    old_parquet.register()
    codecs, unischema = pytest.importorskip("petastorm.codecs"), pytest.importorskip("petastorm.unischema")
    types = pytest.importorskip("pyspark.sql.types")
    fields = [
        unischema.UnischemaField("image_id", np.str_, (), codecs.ScalarCodec(types.StringType()), False),
        unischema.UnischemaField("variant", np.int32, (), codecs.ScalarCodec(types.IntegerType()), False),
    ]
    for name, (dtype, dims) in shape.arrays().items():
        png = name == "image" and shape.image_codec == "png"
        codec = codecs.CompressedImageCodec("png") if png else codecs.NdarrayCodec()
        fields.append(unischema.UnischemaField(name, np.dtype(dtype).type, dims, codec, False))
    theirs = pickle.loads(pickle.dumps(unischema.Unischema("FaceRow", fields), 2))
    ours = pickle.loads(petastorm_metadata(shape, {}).metadata[SCHEMA_KEY])
    assert type(ours) is type(theirs) and vars(ours).keys() == vars(theirs).keys()
    assert ours.fields == theirs.fields
    assert [f.as_spark_schema() for f in (ours, theirs)][0] == theirs.as_spark_schema()


def test_it_is_read_back_without_petastorm() -> None:
    fields = {f.name: f for f in read_fields(petastorm_metadata(PNG, {}).metadata[SCHEMA_KEY])}
    assert fields["image"].shape == (96, 96, 1) and fields["image"].numpy_dtype is np.uint8
    assert "CompressedImageCodec" in repr(fields["image"].codec) and ".png" in repr(fields["image"].codec)
    assert fields["landmarks"].shape == (15, 2) and not fields["landmarks"].nullable


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_something_is_named_and_not_run(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "victim"
    write(tmp_path, pickle.dumps(Runs(exec, f"open({str(victim)!r}, 'w')"), protocol))
    with pytest.raises(FakeitError, match=r"_common_metadata: its pickled schema asks for (__)?builtin(s|__).exec"):
        check(str(tmp_path))
    assert not victim.exists()


@pytest.mark.parametrize(("pickled", "says"), [(b"\x80\x02rubbish", "cannot be read"), (b"N.", "holds no Unischema")])
def test_rubbish_is_told(tmp_path: Path, pickled: bytes, says: str) -> None:
    write(tmp_path, pickled)
    with pytest.raises(FakeitError, match=says):
        check(str(tmp_path))


def test_a_folder_without_schema_has_no_fields(tmp_path: Path) -> None:
    assert check(str(tmp_path)) == ()
    assert len(check(str(make_dataset(tmp_path / "d") / "train"))) == 8


def test_petastorm_itself_runs_what_it_reads(tmp_path: Path) -> None:
    """Why all this: its unpickler lets all of `builtins` through."""
    old_parquet.register()
    legacy = pytest.importorskip("petastorm.etl.legacy")
    victim = tmp_path / "victim"
    legacy.depickle_legacy_package_name_compatible(pickle.dumps(Runs(exec, f"open({str(victim)!r}, 'w')"), 2))
    assert victim.exists()


def inspect(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "jobs" / "inspect_data.py"), "dataset", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_inspect_tells_what_a_dataset_holds_and_petastorm_opens_it_only_if_asked(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "d", missing=0.1)
    safe, opened = inspect(folder, "--safe"), inspect(folder)
    assert safe.returncode == opened.returncode == 0, safe.stderr + opened.stderr
    assert "rows: train 21, val 9; 3 shards, every SHA-256 right" in safe.stdout
    assert "landmarks          float32    (5, 2)" in safe.stdout and "opened by Petastorm" not in safe.stdout
    assert "opened by Petastorm: " in opened.stdout


@pytest.mark.parametrize("options", [["--safe"], []], ids=["safe", "plain"])
def test_inspect_runs_nothing_of_a_strangers_dataset(tmp_path: Path, options: list[str]) -> None:
    folder, victim = make_dataset(tmp_path / "d"), tmp_path / "victim"
    write(folder / "train", pickle.dumps(Runs(exec, f"open({str(victim)!r}, 'w')"), 2))
    done = inspect(folder, *options)
    assert done.returncode == 2 and "_common_metadata: its pickled schema asks for __builtin__.exec" in done.stderr
    assert not victim.exists()


def test_neither_reader_looks_at_it(tmp_path: Path) -> None:
    folder, victim = make_dataset(tmp_path / "d"), tmp_path / "victim"
    write(folder / "train", pickle.dumps(Runs(exec, f"open({str(victim)!r}, 'w')"), 2))
    made = manifest.load(str(folder))
    shard = f"{folder}/{made.of('train')[0].path}"
    for name, read in READERS.items():  # the second lets Petastorm have a schema made from the manifest
        assert len(read(shard, made.shape).images) == 10, name
    assert not victim.exists()


def test_a_contents_digest_does_not_see_how_it_was_written(tmp_path: Path) -> None:
    """As between two versions of pyarrow: other bytes, the same rows."""
    folder = make_dataset(tmp_path / "d", missing=0.1)
    made = manifest.load(str(folder))
    before = content_digest(str(folder), made)
    shard = folder / made.shards[0].path
    bytes_before = shard.read_bytes()
    pq.write_table(pq.read_table(shard, partitioning=None), shard, compression="gzip", row_group_size=1000)
    assert shard.read_bytes() != bytes_before and content_digest(str(folder), made) == before
    rows = read_shard(str(shard), made.shape)
    rows["weight"] = rows["weight"] + 1
    write_shard(str(shard), rows, made.shape)
    assert content_digest(str(folder), made) != before
