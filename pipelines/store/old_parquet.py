"""Petastorm 0.12.1 on today's pyarrow, numpy and pandas: what they took away since 2022, lent back to it alone.

Petastorm lives on pyarrow's first Parquet API, gone since pyarrow 15 (a dataset is a list of pieces: file, row group,
partition keys), on names that numpy dropped, and on pandas that gives strings as objects. `register` puts a finder in
front of Python's own; a module of petastorm gets this module as its `pq`, nobody else's pyarrow behaves differently.
Where pyarrow still has the old API nothing is done. Datasets have hive's folders or none; HDFS is reached by fsspec.

Imports nothing of this project and nothing heavy: `make setup STACK=modern` links this file into the environment and
registers it when Python starts (a .pth), so that Spark's workers and Petastorm's own processes have it as well.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any


class ParquetDatasetPiece:
    """A file, or one row group of it, and (name, index of the value) of each partition in which it lies."""

    def __init__(
        self,
        path: str,
        open_file_func: Callable[..., Any] = open,
        file_options: dict[str, Any] | None = None,
        row_group: int | None = None,
        partition_keys: list[tuple[str, int]] | None = None,
    ) -> None:
        self.path, self.open_file_func, self.row_group = path, open_file_func, row_group
        self.partition_keys, self.file_options = partition_keys or [], file_options or {}

    def __eq__(self, other: object) -> bool:
        same = ("path", "row_group", "partition_keys")
        return isinstance(other, ParquetDatasetPiece) and all(getattr(self, n) == getattr(other, n) for n in same)

    def open(self) -> Any:
        from pyarrow.parquet import ParquetFile

        file = ParquetFile(self.open_file_func(self.path, mode="rb"), **self.file_options)
        file._close_source = True  # so that leaving a `with` closes what was opened here
        return file

    def get_metadata(self) -> Any:
        with self.open() as file:
            return file.metadata

    def read(
        self, columns: Iterable[str] | None = None, partitions: Sequence[PartitionSet] | None = None, **_: Any
    ) -> Any:
        """The rows as a table, with a dictionary column for each partition key, whatever `columns` says."""
        import numpy as np
        import pyarrow as pa

        with self.open() as file:
            names = None if columns is None else [n for n in file.schema_arrow.names if n in set(columns)]
            table = file.read(names) if self.row_group is None else file.read_row_group(self.row_group, names)
        for (name, index), level in zip(self.partition_keys, partitions or (), strict=False):
            codes = pa.array(np.full(len(table), index, np.int32))
            table = table.append_column(name, pa.DictionaryArray.from_arrays(codes, level.dictionary))
        return table


class PartitionSet:
    """The values of one `name=value` level of folders."""

    def __init__(self, name: str, keys: Iterable[str] = ()) -> None:
        self.name, self.keys = name, list(keys)

    def get_index(self, key: str) -> int:
        if key not in self.keys:
            self.keys.append(key)
        return self.keys.index(key)

    @property
    def dictionary(self) -> Any:
        import pyarrow as pa

        try:
            return pa.array([int(key) for key in self.keys])
        except ValueError:
            return pa.array(self.keys)


class ParquetPartitions(list[PartitionSet]):
    """The levels, from the outermost."""

    @property
    def partition_names(self) -> set[str]:
        return {level.name for level in self}


class ParquetDataset:
    """The pieces below a folder, by path, or those of some files."""

    def __init__(self, path_or_paths: str | list[str], filesystem: Any = None, filters: Any = None, **_: Any) -> None:
        single = not isinstance(path_or_paths, str) and len(path_or_paths) == 1
        self.paths = path_or_paths[0] if single else path_or_paths
        self.fs = filesystem or __getattr__("localfs")
        self.pieces: list[ParquetDatasetPiece] = []
        self.partitions: ParquetPartitions | None = None
        self.common_metadata_path: str | None = None
        self.metadata_path: str | None = None
        if isinstance(self.paths, str) and self.fs.isdir(self.paths):
            self.partitions = ParquetPartitions()
            self._visit(self.paths.rstrip("/"), self.partitions, [])
        else:
            for path in [self.paths] if isinstance(self.paths, str) else self.paths:
                if not self.fs.isfile(path):
                    raise OSError(f"Passed non-file path: {path}")
                self.pieces.append(ParquetDatasetPiece(path, self.fs.open))
        self.metadata = self._footer(self.metadata_path)
        self.common_metadata = self._footer(self.common_metadata_path) or self.metadata
        if filters:
            groups = filters if isinstance(filters[0], list) else [filters]
            self.pieces = [p for p in self.pieces if any(self._accepts(p, group) for group in groups)]

    def _visit(self, folder: str, levels: ParquetPartitions, keys: list[tuple[str, int]]) -> None:
        _, folders, files = next(iter(self.fs.walk(folder)))
        for name in sorted(files):
            if name.endswith("_common_metadata"):
                self.common_metadata_path = f"{folder}/{name}"
            elif name.endswith("_metadata"):
                self.metadata_path = f"{folder}/{name}"
            elif not name.startswith((".", "_")) and not name.endswith((".crc", "_$folder$")):
                self.pieces.append(ParquetDatasetPiece(f"{folder}/{name}", self.fs.open, partition_keys=keys))
        for name in sorted(folders):
            key, is_partition, value = name.partition("=")
            if is_partition:
                if len(levels) == len(keys):
                    levels.append(PartitionSet(key))
                self._visit(f"{folder}/{name}", levels, [*keys, (key, levels[len(keys)].get_index(value))])
            elif not name.startswith((".", "_")):
                raise ValueError(f"Directory name did not appear to be a partition: {name}")

    def _footer(self, path: str | None) -> Any:
        from pyarrow.parquet import read_metadata

        if path is not None:
            with self.fs.open(path, mode="rb") as file:
                return read_metadata(file)

    def _accepts(self, piece: ParquetDatasetPiece, group: list[tuple[str, str, Any]]) -> bool:
        """Whether every (key, operator, value) holds; the old filters look at partition keys only."""
        import pyarrow as pa
        from pyarrow.parquet import filters_to_expression

        for (name, index), level in zip(piece.partition_keys, self.partitions or (), strict=False):
            for term in (term for term in group if term[0] == name):
                kind = type(next(iter(term[2])) if term[1].endswith("in") else term[2])
                if not len(pa.table({name: [kind(level.keys[index])]}).filter(filters_to_expression([term]))):
                    return False
        return True


def __getattr__(name: str) -> Any:
    """What this module, taken for `pyarrow.parquet` or `pyarrow`, is asked for beside the old classes."""
    if name == "localfs":
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem()
    import pyarrow.parquet as pq

    return getattr(pq, name)


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a module of petastorm, then changes in it what asks for the old world."""

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        if hasattr(module, "pq"):
            module.pq = sys.modules[__name__]  # type: ignore[attr-defined]
        if module.__name__ == "petastorm.fs_utils":
            module.pyarrow = sys.modules[__name__]  # type: ignore[attr-defined]
        if module.__name__ == "petastorm.py_dict_reader_worker":
            worker = module.PyDictReaderWorker
            worker._read_with_shuffle_row_drop = _with_none(worker._read_with_shuffle_row_drop)


def _with_none(read: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    """Rows in which a missing string is None again; pandas 3 says nan."""

    def read_rows(self: Any, *arguments: Any) -> list[dict[str, Any]]:
        strings = [field.name for field in self._schema.fields.values() if field.numpy_dtype is str_]
        rows = read(self, *arguments)
        for row in rows:
            row.update({name: None for name in strings if isinstance(row.get(name), float)})
        return rows

    from numpy import str_

    return read_rows


class _Finder:
    """Finds petastorm's modules as Python does, and loads them with `_Loader`."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] != "petastorm" or (name == "petastorm" and not _lend()):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(name, os.fspath(spec.origin or ""))
        return spec


def _lend() -> bool:
    """Puts back what petastorm imports by name; False where pyarrow still has its old API."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from fsspec.implementations.local import LocalFileSystem

    if hasattr(pq, "ParquetDatasetPiece"):
        return False
    for old, today in {"unicode_": np.str_, "string_": np.bytes_, "float": float, "in1d": np.isin}.items():
        if not hasattr(np, old):
            setattr(np, old, today)
    for name in ("filesystem", "hdfs"):
        module = sys.modules.setdefault(f"pyarrow.{name}", types.ModuleType(f"pyarrow.{name}"))
        vars(module).update(LocalFileSystem=LocalFileSystem, HadoopFileSystem=type("None", (), {}), connect=_hdfs)
        setattr(pa, name, module)
    pa.LocalFileSystem, pa.lib.ArrowIOError = LocalFileSystem, OSError
    return True


def _hdfs(*_: Any, **__: Any) -> Any:
    raise OSError("pyarrow.hdfs is gone: open hdfs:// through fsspec (pip install fsspec[hdfs]) and pass `filesystem`")


def register() -> None:
    """From here on `import petastorm` works beside pyarrow 15 and newer; call it before that import."""
    if not any(getattr(finder, "__qualname__", "") == _Finder.__qualname__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
