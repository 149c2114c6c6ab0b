"""The schema that makes a folder of shards a Petastorm dataset, written and read without Petastorm and without a pickle
ever running.

Petastorm keeps it as a pickled object in `_common_metadata`, and a pickle may name any function to be called. So it is
written here by a function that puts down Petastorm's names without importing them (datasets are made where there is no
Petastorm), and read by an unpickler that knows those names only and fills in classes of our own, which do nothing.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.storage import exists, join, read_bytes
from fakeit.pipelines.store.schema import RowShape

SCHEMA_KEY = b"dataset-toolkit.unischema.v1"
ROW_GROUPS_KEY = b"dataset-toolkit.num_row_groups_per_file.v1"
NAME = "_common_metadata"
SCALARS = [
    "bool",
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "str_",
    "bytes_",
    "unicode_",
    "string_",
    "datetime64",
    "object_",
]


class UnischemaField(NamedTuple):
    """One column, as Petastorm describes it; `shape` of one row, () for a scalar."""

    name: str
    numpy_dtype: Any
    shape: tuple[int | None, ...]
    codec: Any
    nullable: bool


class _StandIn:
    """An object of a class that is not here: its attributes, and nothing that runs."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __repr__(self) -> str:
        inside = ", ".join(f"{v}" for v in vars(self).values() if not isinstance(v, tuple | OrderedDict))
        return f"{type(self).__name__}({inside})"


def _stand_in(name: str) -> type[_StandIn]:
    return type(name, (_StandIn,), {})


Unischema = _stand_in("Unischema")
NdarrayCodec, CompressedNdarrayCodec = _stand_in("NdarrayCodec"), _stand_in("CompressedNdarrayCodec")
CompressedImageCodec, ScalarCodec = _stand_in("CompressedImageCodec"), _stand_in("ScalarCodec")
SPARK_TYPES = {
    name: _stand_in(name)
    for name in [
        "StringType",
        "BinaryType",
        "BooleanType",
        "ByteType",
        "ShortType",
        "IntegerType",
        "LongType",
        "FloatType",
        "DoubleType",
        "DecimalType",
        "DateType",
        "TimestampType",
    ]
}
KNOWN: dict[tuple[str, str], Any] = {
    ("petastorm.unischema", "Unischema"): Unischema,
    ("petastorm.unischema", "UnischemaField"): UnischemaField,
    ("petastorm.codecs", "NdarrayCodec"): NdarrayCodec,
    ("petastorm.codecs", "CompressedNdarrayCodec"): CompressedNdarrayCodec,
    ("petastorm.codecs", "CompressedImageCodec"): CompressedImageCodec,
    ("petastorm.codecs", "ScalarCodec"): ScalarCodec,
    **{("pyspark.sql.types", name): kind for name, kind in SPARK_TYPES.items()},
}
NAMES = {kind: name for name, kind in KNOWN.items()}


def _pickled(value: Any) -> bytes:
    """`value` in pickle's protocol 2, a stand-in under the name of the class for which it stands.

    Not by Python's pickler: it imports what it names, and packages that Petastorm needs (dill) change it for everybody.
    """
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, type):
        return b"c" + "{}\n{}\n".format(*NAMES.get(value, (value.__module__, value.__name__))).encode()
    if isinstance(value, UnischemaField):
        return _pickled(UnischemaField) + _pickled(tuple(value)) + b"\x81"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_pickled, value)) + b"t"
    items = value if isinstance(value, OrderedDict) else vars(value)
    inside = b"(" + b"".join(_pickled(key) + _pickled(item) for key, item in items.items()) + b"u"
    made = _pickled(type(value)) + b")"
    return made + b"R" + inside if items is value else made + b"\x81}" + inside + b"b"


class _Unpickler(pickle.Unpickler):
    """Finds stand-ins, numpy's scalar types and OrderedDict. Raises FakeitError at any other name, before its use."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in KNOWN:
            return KNOWN[module, name]
        if module == "numpy" and name in SCALARS:
            return getattr(np, {"unicode_": "str_", "string_": "bytes_", "bool": "bool_"}.get(name, name))
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise FakeitError(f"its pickled schema asks for {module}.{name}, which no schema needs")


def petastorm_metadata(shape: RowShape, row_groups: dict[str, int]) -> pa.Schema:
    """The schema of `_common_metadata` that makes a folder of shards a Petastorm dataset.

    Args:
        shape: the rows.
        row_groups: shard file name → its number of row groups.
    """
    text, number = SPARK_TYPES["StringType"](collation="UTF8_BINARY"), SPARK_TYPES["IntegerType"]()
    fields = [
        UnischemaField("image_id", np.str_, (), ScalarCodec(_spark_type=text), False),
        UnischemaField("variant", np.int32, (), ScalarCodec(_spark_type=number), False),
    ]
    for name, (dtype, dims) in shape.arrays().items():
        png = name == "image" and shape.image_codec == "png"
        codec = CompressedImageCodec(_image_codec=".png", _quality=80) if png else NdarrayCodec()
        fields.append(UnischemaField(name, np.dtype(dtype).type, dims, codec, False))
    by_name = {field.name: field for field in fields}
    pickled = b"\x80\x02" + _pickled(Unischema(_name="FaceRow", _fields=OrderedDict(by_name), **by_name)) + b"."
    plain = pa.schema(
        [("image_id", pa.string()), ("variant", pa.int32()), *((name, pa.binary()) for name in shape.arrays())]
    )
    return plain.with_metadata({SCHEMA_KEY: pickled, ROW_GROUPS_KEY: json.dumps(row_groups).encode()})


def read_fields(pickled: bytes) -> tuple[UnischemaField, ...]:
    """The columns that a pickled schema describes; nothing of it runs.

    Raises:
        FakeitError: it names something that is no part of a schema, or is no schema at all.
    """
    try:
        schema = _Unpickler(io.BytesIO(pickled)).load()
    except FakeitError:
        raise
    except Exception as error:  # what a broken pickle raises is anything
        raise FakeitError(f"its pickled schema cannot be read: {error}") from error
    if not isinstance(schema, Unischema) or "_fields" not in vars(schema):
        raise FakeitError("its pickled schema holds no Unischema")
    return tuple(vars(schema)["_fields"].values())


def check(folder: str) -> tuple[UnischemaField, ...]:
    """What the Petastorm dataset in `folder` says of its columns, read safely; () where there is no such schema.

    Raises:
        FakeitError: naming the file, when reading it with Petastorm might run foreign code.
    """
    location = join(folder, NAME)
    if not exists(location):
        return ()
    try:
        metadata = pq.read_metadata(pa.BufferReader(read_bytes(location))).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise FakeitError(f"{location}: cannot be read: {error}") from error
    try:
        return read_fields(metadata[SCHEMA_KEY]) if SCHEMA_KEY in metadata else ()
    except FakeitError as error:
        raise FakeitError(f"{location}: {error}") from error
