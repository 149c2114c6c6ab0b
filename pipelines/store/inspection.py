"""What a prepared dataset holds, found out without running anything of it: for datasets that strangers made.

The content's digest is over the columns, not over the files: two versions of pyarrow write the same rows as different
bytes, so a manifest's digest tells files apart and this one tells rows apart.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import exists, is_url, join, list_files, read_bytes
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store import old_parquet, petastorm_schema, row_weights
from fakeit.pipelines.store.manifest import Manifest
from fakeit.pipelines.store.shards import read_columns, read_shard


def describe(dataset: str, safe: bool) -> str:
    """Text about the dataset or Petastorm folder `dataset`.

    Args:
        dataset: a folder or URL with `manifest.json`, or with Parquet files of any Petastorm program.
        safe: read the pickled schema only with an unpickler that runs nothing. Otherwise Petastorm then opens it, too,
            if that unpickler found nothing but a schema.

    Raises:
        FakeitError: nothing is there, a shard is not the manifest's, or the pickled schema names something to be run.
    """
    lines = []
    if exists(join(dataset, manifests.NAME)):
        made = manifests.load(dataset)
        manifests.verify(dataset, made.shards, hashes=True)
        _check_weights(dataset, made)
        counts = ", ".join(f"{split} {made.rows(split)}" for split in manifests.SPLITS if made.of(split))
        lines += [f"manifest: scheme {made.scheme}, rows: {counts}; {len(made.shards)} shards, every SHA-256 right"]
        lines += [f"digest of the files {made.digest}, of the content {content_digest(dataset, made)}"]
    else:
        lines.append(f"no {manifests.NAME}: not made here, or not finished")
    names = list_files(dataset)
    folders = sorted({name.rpartition("/")[0] for name in names if name.endswith(".parquet")})
    if not folders:
        raise FakeitError(f"{dataset}: no Parquet file in it")
    for folder in folders:
        lines += _describe_folder(dataset, folder, safe)
    return "\n".join(lines)


def _check_weights(dataset: str, made: Manifest) -> None:
    """Raises FakeitError: rows of a shard weigh other than the manifest says."""
    for shard in made.shards:
        if shard.row_weights is not None:
            location = join(dataset, shard.path)
            rows = read_columns(location, made.shape, ("landmarks", "weight"))
            held = row_weights.sums(row_weights.without_missing(rows["landmarks"], rows["weight"]))
            told = row_weights.unpack(shard.row_weights, shard.rows, shard.path)
            if held.shape != told.shape or (held != told).any():
                raise FakeitError(f"shard {location}: its rows weigh other than the manifest says")


def _describe_folder(dataset: str, folder: str, safe: bool) -> list[str]:
    location = join(dataset, folder) if folder else dataset
    fields = petastorm_schema.check(location)
    if not fields:
        first = sorted(n for n in list_files(location) if n.endswith(".parquet"))[0]
        schema = pq.read_schema(pa.BufferReader(read_bytes(join(location, first))))
        return [f"{folder or '.'}: Parquet without Petastorm's schema: {', '.join(schema.names)}"]
    lines = [f"{folder or '.'}: Petastorm's schema, read without running it:"]
    for field in fields:
        kind = getattr(field.numpy_dtype, "__name__", str(field.numpy_dtype))
        lines.append(f"  {field.name:18} {kind:10} {field.shape!s:16} {field.codec}{' or null' * field.nullable}")
    return lines if safe else [*lines, f"  opened by Petastorm: {_opened(location)}"]


def _opened(folder: str) -> str:
    """The first row, decoded by Petastorm."""
    old_parquet.register()
    try:
        from petastorm import make_reader
    except ImportError as error:
        return f"not here ({error})"
    url = folder if is_url(folder) else f"file://{os.path.abspath(folder)}"
    with make_reader(url, reader_pool_type="dummy", num_epochs=1, shuffle_row_groups=False) as reader:
        row = next(reader)._asdict()
    return ", ".join(f"{name} {np.shape(value) or value}" for name, value in row.items())


def content_digest(dataset: str, made: Manifest) -> str:
    """16 hex digits that name the rows: every column's values in the order of the shards."""
    digest = hashlib.sha256()
    for shard in made.shards:
        rows = read_shard(join(dataset, shard.path), made.shape)
        for name in sorted(rows):
            digest.update(name.encode())
            values = rows[name]
            is_text = isinstance(values, list)
            digest.update("\n".join(values).encode() if is_text else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
