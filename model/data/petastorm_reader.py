"""The second reader: Petastorm opens the row group, so anything that Petastorm reads can be trained on.

Petastorm only decodes; it neither shuffles nor shards here, since its own orders repeat and its shards are uneven (the
plan owns both). `dummy` pool: rows come in the file's order. Needs pyspark installed; `arrow` does not.
"""

from __future__ import annotations

import contextlib
import os
import warnings

import numpy as np

from fakeit.model.data.shard_reader import OpenShard, from_columns
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.storage import exists, is_url, list_files
from fakeit.pipelines.store.schema import RowShape

FIELDS = ["image_id", "variant", "image", "landmarks", "weight"]


def read(location: str, shape: RowShape) -> OpenShard:
    """Opens a shard; see `shard_reader.Reader`. Runs the pickled schema of the dataset: trust its author.

    The folder is opened, since Petastorm looks for its schema beside the files, and of it this one row group.
    """
    try:
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
        try:
            reader = stack.enter_context(
                make_reader(
                    url,
                    schema_fields=FIELDS,
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
        "landmarks": np.stack([row.landmarks for row in rows]),
        "weight": np.stack([row.weight for row in rows]),
    }
    dims = shape.arrays()["image"][1]  # a grey PNG comes without its axis of colours
    return from_columns(stacked, np.stack([row.image.reshape(dims) for row in rows]))
