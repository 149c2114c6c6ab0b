"""The second reader: Petastorm opens the row group, so anything that Petastorm reads can be trained on.

Petastorm only decodes; it neither shuffles nor shards here, since its own orders repeat and its shards are uneven (the
plan owns both). `dummy` pool: rows come in the file's order. Needs pyspark installed; `arrow` does not.

A Petastorm dataset carries its schema as a pickle, and unpickling runs what its author wrote: Petastorm's own filter
lets `builtins.exec` pass. Here it is never unpickled; the schema is made again from our manifest.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from fakeit.model.data.shard_reader import OpenShard, columns, from_columns
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import exists, is_url, list_files
from fakeit.pipelines.store import old_parquet
from fakeit.pipelines.store.schema import RowShape

_SCHEMA: ContextVar[Any] = ContextVar("schema")  # what Petastorm is told instead of the pickle, while we read


@contextlib.contextmanager
def schema_from_manifest(shape: RowShape) -> Iterator[None]:
    """Petastorm takes the schema of `shape` in here, whatever the dataset's pickle holds; elsewhere it is as it was."""
    from petastorm.etl import dataset_metadata

    theirs = dataset_metadata.depickle_legacy_package_name_compatible
    if not hasattr(theirs, "replaced_by_fakeit"):

        def ours(pickled: bytes) -> Any:
            schema = _SCHEMA.get(None)
            return theirs(pickled) if schema is None else schema

        ours.replaced_by_fakeit = True  # type: ignore[attr-defined]
        dataset_metadata.depickle_legacy_package_name_compatible = ours
    token = _SCHEMA.set(_unischema(shape))
    try:
        yield
    finally:
        _SCHEMA.reset(token)


def _unischema(shape: RowShape) -> Any:
    """The rows as Petastorm's `Unischema`, made from the manifest's shape alone."""
    from petastorm.codecs import CompressedImageCodec, NdarrayCodec, ScalarCodec
    from petastorm.unischema import Unischema, UnischemaField
    from pyspark.sql.types import IntegerType, StringType

    fields = [
        UnischemaField("image_id", np.str_, (), ScalarCodec(StringType()), False),
        UnischemaField("variant", np.int32, (), ScalarCodec(IntegerType()), False),
    ]
    for name, (dtype, dims) in shape.arrays().items():
        png = name == "image" and shape.image_codec == "png"
        codec = CompressedImageCodec("png") if png else NdarrayCodec()
        fields.append(UnischemaField(name, np.dtype(dtype).type, dims, codec, False))
    return Unischema("FaceRow", fields)


def read(location: str, shape: RowShape) -> OpenShard:
    """Opens a shard; see `shard_reader.Reader`. No code of the dataset runs.

    The folder is opened, since Petastorm looks for its schema beside the files, and of it this one row group.
    """
    try:
        old_parquet.register()
        from petastorm import make_reader
    except ImportError as error:
        raise FakeitError(
            f"data.reader = 'petastorm' needs petastorm and pyspark ({error}); 'arrow' does not"
        ) from error
    if not exists(location):
        raise FakeitError(f"shard {location} is missing; the dataset is not whole any more")
    folder, name = location.rsplit("/", 1)
    shards = sorted(file for file in list_files(folder) if file.endswith(".parquet"))
    url = folder if is_url(folder) else f"file://{os.path.abspath(folder)}"
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        stack.enter_context(schema_from_manifest(shape))
        try:
            reader = stack.enter_context(
                make_reader(
                    url,
                    schema_fields=["image_id", "variant", "image", *columns(shape)],
                    reader_pool_type="dummy",
                    shuffle_row_groups=False,
                    cur_shard=shards.index(name),  # Petastorm's shards are row_group % count: one group each
                    shard_count=len(shards),
                    num_epochs=1,
                )
            )
            rows = list(reader)
        except Exception as error:  # petastorm raises bare Exceptions of many kinds
            raise FakeitError(f"shard {location} cannot be read by petastorm: {error}") from error
    stacked = {
        "image_id": [row.image_id for row in rows],
        "variant": np.array([row.variant for row in rows], np.int32),
        **{name: np.stack([getattr(row, name) for row in rows]) for name in columns(shape)},
    }
    dims = shape.arrays()["image"][1]  # a grey PNG comes without its axis of colours
    return from_columns(stacked, np.stack([row.image.reshape(dims) for row in rows]))
