"""Where bytes lie: a local path, a member of a zip archive, or any URL that fsspec knows. The one seam to file systems.

A location is a string: `/data/1.png`, `/data/faces.zip!/faces/1.png`, `s3://bucket/faces/1.png`,
`memory://faces.zip!/1.png`.
"""

from __future__ import annotations

import os
import posixpath
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs

MEMBER = "!/"


def is_url(location: str) -> bool:
    return "://" in location


def join(root: str, *parts: str) -> str:
    """`root` and `parts` as one location, for paths, URLs and archive members."""
    return posixpath.join(root, *parts) if is_url(root) or MEMBER in root else os.path.join(root, *parts)


@lru_cache(maxsize=8)
def _archive(path: str, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(fsspec.open(path, "rb").open() if is_url(path) else path)


def archive_members(path: str) -> list[str]:
    """Names of the files in the zip archive at `path`, sorted."""
    return sorted(i.filename for i in _archive(path, os.getpid()).infolist() if not i.is_dir())


def read_bytes(location: str) -> bytes:
    """The bytes at a location. Raises OSError or KeyError (no such archive member)."""
    if MEMBER in location:
        path, member = location.split(MEMBER, 1)
        return _archive(path, os.getpid()).read(member)  # a handle a process: zip handles must not cross a fork
    if is_url(location):
        with fsspec.open(location, "rb") as file:
            return bytes(file.read())
    with open(location, "rb") as file:
        return file.read()


def list_files(root: str) -> list[str]:
    """Every file below a folder, URL or .zip archive, as locations relative to it, sorted."""
    if root.lower().endswith(".zip"):
        return archive_members(root)
    if is_url(root):
        fs, path = url_to_fs(root)
        return sorted(posixpath.relpath(name, path) for name in fs.find(path))
    found = []
    for folder, _, names in os.walk(root, followlinks=True):
        relative = os.path.relpath(folder, root)
        found += names if relative == "." else [os.path.join(relative, name) for name in names]
    return sorted(found)


def join_member(root: str, relative: str) -> str:
    """The location of `relative` (as `list_files` gives it) below `root`."""
    return f"{root}{MEMBER}{relative}" if root.lower().endswith(".zip") else join(root, relative)


def exists(location: str) -> bool:
    if is_url(location):
        fs, path = url_to_fs(location)
        return bool(fs.exists(path))
    return os.path.exists(location)


def size_of(location: str) -> int:
    """Bytes of the file at a path or URL, as its store says: nothing is read. Raises FileNotFoundError."""
    if not is_url(location):
        return os.path.getsize(location)
    fs, path = url_to_fs(location)
    size = fs.info(path)["size"]
    return int(size) if size is not None else len(read_bytes(location))  # a web server may not say


def make_folder(location: str) -> None:
    if is_url(location):
        fs, path = url_to_fs(location)
        fs.makedirs(path, exist_ok=True)
    else:
        os.makedirs(location, exist_ok=True)


def remove(location: str) -> None:
    """Removes a file or a whole folder; nothing happens where there is none."""
    fs, path = url_to_fs(location)
    if fs.exists(path):
        fs.rm(path, recursive=True)


@contextmanager
def write_atomically(location: str, durable: bool = True) -> Iterator[IO[Any]]:
    """A binary file that appears under `location` whole or not at all: a temporary name first, then a rename.

    `durable` waits until the disk has it, so that it also survives a power cut; many small files that can be made
    again are written without (waiting takes longer than rendering a face).
    """
    temporary = f"{location}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    if is_url(location):
        fs, path = url_to_fs(location)
        _, hidden = url_to_fs(temporary)
        try:
            with fs.open(hidden, "wb") as file:
                yield file
            fs.mv(hidden, path)
        except BaseException:
            if fs.exists(hidden):
                fs.rm(hidden)
            raise
        return
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, location)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
