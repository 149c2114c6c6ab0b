"""Where bytes lie: a local path, a member of a zip archive, or any URL that fsspec knows. The one seam to file systems.

A location is a string: `/data/1.png`, `/data/faces.zip!/faces/1.png`, `s3://bucket/faces/1.png`,
`memory://faces.zip!/1.png`.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs

from fakeit.pipelines.errors import FakeitError, refused_by_disk

MEMBER = "!/"
UNPACKED = 4 << 30  # bytes that any archive may unpack to; larger ones …
RATIO = 100  # … at most so many times their own size: pictures do not shrink, bombs do
_TEMPORARY = re.compile(r"\.\d+\.[0-9a-f]{8}\.tmp$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[^/]*)?://")
# What file systems and archives raise beside OSError on damaged bytes, odd names and missing packages.
_STRANGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, KeyError, ImportError, IndexError)


def is_url(location: str) -> bool:
    """Whether a location is a URL: anything with `://`."""
    return _URL.match(location) is not None


def is_archive(location: str) -> bool:
    """Whether a location is a zip archive, by its name."""
    return location.lower().endswith(".zip") and (is_url(location) or not os.path.isdir(location))


def join(root: str, *parts: str) -> str:
    """`root` and `parts` as one location, for paths, URLs and archive members."""
    return posixpath.join(root, *parts) if is_url(root) or MEMBER in root else os.path.join(root, *parts)


def absolute(locations: str) -> str:
    """A location, or several with commas between, as other machines and folders know them: paths from the root on."""
    if is_url(locations) and "," not in locations:
        return locations
    parts = [locations] if os.path.exists(locations) else locations.split(",")
    return ",".join(part if is_url(part) else os.path.abspath(part) for part in parts)


def split_member(location: str) -> tuple[str, str] | None:
    """(archive, member) of a location inside an archive, else None."""
    found = re.search(r"\.zip!/", location, re.IGNORECASE)
    if found is None or (not is_url(location) and os.path.exists(location)):
        return None
    return location[: found.start() + 4], location[found.end() :]


def file_system(location: str) -> tuple[Any, str]:
    """The fsspec file system of a location and the path in it. Raises FakeitError where its package is missing."""
    try:
        return url_to_fs(location)
    except ImportError as error:
        raise FakeitError(f"{location}: {error}; install that package beside fakeit") from error
    except ValueError as error:
        raise FakeitError(f"{location}: {error}") from error


def open_archive(path: str) -> zipfile.ZipFile:
    """The zip archive at `path`, opened once a process (its handle must not cross a fork) and version of the file.

    Raises:
        OSError: no archive, damaged, or one that would unpack to more than UNPACKED and RATIO allow.
    """
    try:
        version = () if is_url(path) else (os.stat(path).st_mtime_ns, os.stat(path).st_size)
        return _archive(path, os.getpid(), version)
    except zipfile.BadZipFile as error:
        with open_binary(path) as file:
            begins = file.read(16)
        raise OSError(f"no zip archive, or a cut one ({error}; it begins with {begins!r})") from error
    except _STRANGE as error:
        raise OSError(f"no zip archive that can be read ({type(error).__name__}: {error})") from error


@lru_cache(maxsize=8)
def _archive(path: str, process: int, version: tuple[int, ...]) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(fsspec.open(path, "rb").open() if is_url(path) else path)
    entries = archive.infolist()
    total, packed = sum(entry.file_size for entry in entries), max(sum(entry.compress_size for entry in entries), 1)
    if version:
        packed = min(packed, version[1])  # entries may overlap
    if total > max(UNPACKED, RATIO * packed):
        raise OSError(
            f"unpacks to {total / 1e9:.1f} GB, {total // packed:,} times its size; at most {UNPACKED / 1e9:.1f} GB or "
            f"{RATIO} times are read (a zip bomb?)"
        )
    for entry in entries:
        if not entry.flag_bits & 0x800:  # macOS writes UTF-8 and does not say so
            try:
                entry.filename = entry.filename.encode("cp437").decode("utf-8")
                archive.NameToInfo[entry.filename] = entry
            except UnicodeError:
                pass
    return archive


def archive_members(path: str) -> list[str]:
    """Names of the files in the zip archive at `path`, sorted. Raises OSError."""
    return sorted(i.filename for i in open_archive(path).infolist() if not i.is_dir())


@contextmanager
def open_binary(location: str) -> Iterator[IO[Any]]:
    """The bytes at a location as a stream. Raises OSError and FakeitError alone."""
    try:
        member = split_member(location)
        if member is not None:
            with open_archive(member[0]).open(member[1]) as file:
                yield file
        elif is_url(location):
            fs, path = file_system(location)
            with fs.open(path, "rb") as file:
                yield file
        else:
            with open(location, "rb") as file:
                yield file
    except FakeitError:
        raise
    except KeyError as error:
        raise FileNotFoundError(f"no such member: {error}") from error
    except _STRANGE as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def read_bytes(location: str, limit: int | None = None) -> bytes:
    """The bytes at a location.

    Args:
        location: see the module.
        limit: bytes that such a file can need; a larger one is refused before it fills the memory.

    Raises:
        OSError: whatever is wrong; FileNotFoundError where there is no such file or member.
        FakeitError: a URL whose package is missing.
    """
    if MEMBER not in location and not is_url(location):  # the common case, a million times over
        try:
            with open(location, "rb") as file:
                about = os.fstat(file.fileno())
                if stat.S_ISREG(about.st_mode) and (limit is None or about.st_size <= limit):
                    return file.read()
        except ValueError as error:
            raise OSError(str(error)) from error
    with open_binary(location) as file:
        if limit is None:
            return bytes(file.read())
        member = split_member(location)
        size = open_archive(member[0]).getinfo(member[1]).file_size if member else _size(file)
        if size is None:  # a pipe or a URL: in pieces, as far as the limit
            pieces, size = [], 0
            while size <= limit and (piece := file.read(1 << 20)):
                pieces.append(piece)
                size += len(piece)
            data = b"".join(pieces)
        if size > limit:
            raise OSError(f"{size:,} bytes or more; such a file is read up to {limit:,}")
        return data if member is None and _size(file) is None else bytes(file.read())


def _size(file: IO[Any]) -> int | None:
    """Bytes of a regular file, None of anything else."""
    try:
        about = os.fstat(file.fileno())
    except (OSError, AttributeError, ValueError):
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None


def read_head(location: str, count: int) -> bytes:
    """The first `count` bytes at a location, without reading the rest. Raises as `read_bytes`."""
    with open_binary(location) as file:
        return bytes(file.read(count))


def fingerprint(location: str) -> str:
    """What changes when the bytes at a location are replaced, without reading them: size and time, or the archive's
    checksum; "" where it cannot be told."""
    try:
        member = split_member(location)
        if member is not None:
            entry = open_archive(member[0]).getinfo(member[1])
            return f"{entry.file_size} {entry.CRC:08x}"
        if is_url(location):
            fs, path = file_system(location)
            about = fs.info(path)
            keys = ("size", "ETag", "etag", "mtime", "LastModified", "created")
            return " ".join(str(about[key]) for key in keys if key in about)
        found = os.stat(location)
        return f"{found.st_size} {found.st_mtime_ns}"
    except (OSError, KeyError, FakeitError):
        return ""


def list_files(root: str) -> list[str]:
    """Every file below a folder, URL or .zip archive, as locations relative to it, sorted. Links to folders are not
    followed. Of what people have, `fakeit.pipelines.files.walking` lists what is meant."""
    if is_archive(root):
        return archive_members(root)
    if is_url(root):
        fs, path = file_system(root)
        return sorted(posixpath.relpath(name, path) for name in fs.find(path))
    found = []
    for folder, _, names in os.walk(root):
        relative = os.path.relpath(folder, root)
        found += names if relative == "." else [os.path.join(relative, name) for name in names]
    return sorted(found)


def join_member(root: str, relative: str) -> str:
    """The location of `relative` (as `list_files` gives it) below `root`."""
    return f"{root}{MEMBER}{relative}" if is_archive(root) else join(root, relative)


def exists(location: str) -> bool:
    """Whether there is a file or a folder at a location."""
    if is_url(location):
        fs, path = file_system(location)
        return bool(fs.exists(path))
    return os.path.exists(location)


def size_of(location: str) -> int:
    """Bytes of the file at a path or URL, as its store says: nothing is read. Raises FileNotFoundError."""
    if not is_url(location):
        return os.path.getsize(location)
    fs, path = file_system(location)
    size = fs.info(path)["size"]
    return int(size) if size is not None else len(read_bytes(location))  # a web server may not say


def make_folder(location: str) -> None:
    """Makes a folder, and those above it, where they are missing."""
    if is_url(location):
        fs, path = file_system(location)
        fs.makedirs(path, exist_ok=True)
    else:
        os.makedirs(location, exist_ok=True)


def remove(location: str) -> None:
    """Removes a file, a link or a whole folder; nothing happens where there is none."""
    if not is_url(location):  # fsspec takes `::` in a path for a chain of file systems, and finds nothing there
        if os.path.isdir(location) and not os.path.islink(location):
            shutil.rmtree(location)
        elif os.path.lexists(location):
            os.remove(location)
        return
    fs, path = file_system(location)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def move(old: str, new: str) -> None:
    """Renames a file or folder to a name that is free."""
    if not is_url(old):
        os.rename(old, new)
        return
    fs, path = file_system(old)
    fs.mv(path, file_system(new)[1], recursive=True)


def put_over(old: str, new: str) -> None:
    """Renames a file to a name that may be taken: what is read under it is the old file or the new one, whole."""
    if not is_url(old):
        os.replace(old, new)
        return
    fs, path = file_system(old)
    fs.mv(path, file_system(new)[1])


def sweep(folder: str) -> list[str]:
    """Removes what killed writers left in a folder that nobody else is writing to; what was removed."""
    left = [name for name in (list_files(folder) if exists(folder) else []) if _TEMPORARY.search(name)]
    for name in left:
        remove(join(folder, name))
    return left


@contextmanager
def write_under_new_name(location: str) -> Iterator[IO[Any]]:
    """A binary file under a name that nobody looks for until its writer tells it; on the disk when left, or gone."""
    try:
        if is_url(location):
            fs, path = file_system(location)
            with fs.open(path, "wb") as file:
                yield file
            return
        with open(location, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        remove(location)
        raise


@contextmanager
def write_atomically(location: str, durable: bool = True) -> Iterator[IO[Any]]:
    """A binary file that appears under `location` whole or not at all: a temporary name first, then a rename.

    `durable` waits until the disk has it, so that it also survives a power cut; many small files that can be made
    again are written without (waiting takes longer than rendering a face).
    """
    temporary = f"{location}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    if is_url(location):
        fs, path = file_system(location)
        _, hidden = file_system(temporary)
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
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if refused_by_disk(error) and error.filename is None:  # a write that finds the disk full names no file
            error.filename = location
        raise
