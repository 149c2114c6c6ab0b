"""Which files of a folder, URL or archive are meant: the one walker, with the one policy.

Names that systems leave behind (`._1.jpg`, `__MACOSX`, `.ipynb_checkpoints`) are nobody's data. A real folder is read
once, whatever links lead to it. Names in an archive must stay inside it. Nothing is dropped without a word: what was
passed over comes back with its reason, so that sums add up.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.files.file_names import any_junk, climbs, is_junk
from fakeit.pipelines.files.storage import archive_members, exists, file_system, is_archive, is_url

HIDDEN, UNREADABLE = "a file that a system left behind", "a folder that cannot be read"
READ_AHEAD = 16  # folders


@dataclass(frozen=True)
class Listing:
    """Files below a root, relative to it, sorted; and (name, why) of what was passed over."""

    files: list[str] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def list_inputs(root: str) -> Listing:
    """What is meant by a folder, URL or .zip archive.

    Raises:
        FakeitError: it is not there, or cannot be read.
    """
    try:
        if not exists(root):
            raise FakeitError(f"input {root}: no such folder or archive")
        if is_archive(root):
            return _chosen(archive_members(root), archive=True)
        if is_url(root):
            fs, path = file_system(root)
            return _chosen([posixpath.relpath(name, path) for name in fs.find(path)])
        if not os.path.isdir(root):
            raise FakeitError(f"input {root}: a file, expected a folder, a .zip archive or a URL")
        return _walk(root)
    except OSError as error:
        raise FakeitError(f"input {root}: {error}") from error


def _chosen(names: list[str], archive: bool = False) -> Listing:
    listing, seen = Listing(), set()
    for name in sorted(names):
        if archive and climbs(name):
            listing.passed_over.append((name, "its name leads out of the archive"))
        elif any(map(is_junk, name.split("/"))):
            listing.passed_over.append((name, HIDDEN))
        elif name in seen:
            listing.passed_over.append((name, "the archive holds this name twice"))
        else:
            seen.add(name)
            listing.files.append(name)
    return listing


def _walk(root: str) -> Listing:
    listing = Listing()
    for _ in walk_folders(root, listing):
        pass
    listing.files.sort()
    return listing


def walk_folders(root: str, listing: Listing, keep: bool = True) -> Iterator[tuple[str, list[str]]]:
    """The folders below a local folder, one at a time: (name below `root`, "" for itself; its files' names, sorted).

    Real folders first, then links to folders that were not read yet. The next folders are read while the caller looks
    at this one, since a network's file system answers late but many at a time.

    Args:
        root: where to begin.
        listing: filled on the way: with what is passed over, and with the files where they are to be kept.
        keep: whether the files are.
    """
    top, entered = os.path.realpath(root), set[str]()
    folders, links = [_Folder(root, "", top)], list[_Folder]()
    with ThreadPoolExecutor(READ_AHEAD, "folders") as pool:
        while folders or links:
            folder = folders.pop() if folders else links.pop(0)
            if folder.real in entered or (folder.name and top.startswith(folder.real.rstrip(os.sep) + os.sep)):
                listing.passed_over.append((folder.name, f"a link to {folder.real}, which is read already"))
                continue
            entered.add(folder.real)
            for ahead in (folder, *folders[-READ_AHEAD:]):
                ahead.entries = ahead.entries or pool.submit(_scan, ahead.path)
            assert folder.entries is not None
            try:
                files, others = folder.entries.result()
            except OSError as error:
                if not folder.name:
                    raise
                listing.passed_over.append((folder.name, f"{UNREADABLE}: {error.strerror or error}"))
                continue
            before = f"{folder.name}/" if folder.name else ""
            for name, kind in others:
                if kind == "folder":
                    folders.append(_Folder(f"{folder.path}/{name}", before + name, os.path.join(folder.real, name)))
                elif kind == "link":
                    path = f"{folder.path}/{name}"
                    links.append(_Folder(path, before + name, os.path.realpath(path)))
                else:
                    listing.passed_over.append((before + name, kind))
            if keep:
                listing.files.extend([before + name for name in files])
            yield folder.name, files


@dataclass
class _Folder:
    path: str
    name: str
    real: str
    entries: Future[tuple[list[str], list[tuple[str, str]]]] | None = None


def _scan(folder: str) -> tuple[list[str], list[tuple[str, str]]]:
    """What is in a folder, sorted: names of files; (name, "folder", "link" to one, or why it is passed over)."""
    entries = list(os.scandir(folder))
    files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    if len(files) == len(entries) and not any_junk(files):
        return sorted(files), []
    files, others = [], list[tuple[str, str]]()
    for entry in entries:
        name = entry.name
        if is_junk(name):
            others.append((name, HIDDEN))
        elif entry.is_file(follow_symlinks=False):
            files.append(name)
        elif entry.is_dir(follow_symlinks=False):
            others.append((name, "folder"))
        elif not entry.is_symlink():
            others.append((name, "no regular file"))
        elif os.path.isfile(entry.path):  # the entry's own `is_file` raises for a link in a circle
            files.append(name)
        else:
            others.append((name, "link" if os.path.isdir(entry.path) else "a link to nothing"))
    return sorted(files), sorted(others)
