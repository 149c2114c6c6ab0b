"""Which files of a folder, URL or archive are meant: the one walker, with the one policy.

Names that systems leave behind (`._1.jpg`, `__MACOSX`, `.ipynb_checkpoints`) are nobody's data. A real folder is read
once, whatever links lead to it. Names in an archive must stay inside it. Nothing is dropped without a word: what was
passed over comes back with its reason, so that sums add up.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, field

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.file_names import climbs, is_junk
from fakeit.pipelines.storage import archive_members, exists, file_system, is_archive, is_url

HIDDEN = "a file that a system left behind"


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
    """Real folders first, then links to folders that were not read yet."""
    listing, top = Listing(), os.path.realpath(root)
    entered: set[str] = set()
    folders, links = [(root, "", top)], list[tuple[str, str, str]]()
    while folders or links:
        folder, relative, real = folders.pop() if folders else links.pop(0)
        if real in entered or (relative and top.startswith(real.rstrip(os.sep) + os.sep)):
            listing.passed_over.append((relative, f"a link to {real}, which is read already"))
            continue
        entered.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if not relative:
                raise
            listing.passed_over.append((relative, str(error)))
            continue
        for entry in entries:
            name = f"{relative}/{entry.name}" if relative else entry.name
            if is_junk(entry.name):
                listing.passed_over.append((name, HIDDEN))
            elif entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, name, os.path.join(real, entry.name)))
            elif entry.is_file():
                listing.files.append(name)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                links.append((entry.path, name, os.path.realpath(entry.path)))
            else:
                listing.passed_over.append((name, "a link to nothing" if entry.is_symlink() else "no regular file"))
    listing.files.sort()
    return listing
