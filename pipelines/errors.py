"""The two ways in which things go wrong for a user: the job cannot go on, or one sample cannot be used."""

from __future__ import annotations

import errno
from typing import TypeGuard

from fakeit.pipelines.secrets import masked

LONGEST = 6000  # characters of a message: files hold names without end


def _said(message: object) -> str:
    text = masked(str(message))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 600]} … {text[-500:]}"


def one_line(error: BaseException, most: int) -> str:
    """What an error of somebody else's says, in one line of at most `most` characters."""
    return " ".join(str(error).split())[:most]


def refused_by_disk(error: BaseException) -> TypeGuard[OSError]:
    """Whether a disk or its owner refuses: full, read-only, somebody else's. The user's to change, not a bug."""
    refusals = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, OSError) and error.errno in refusals


def wrong_place(error: BaseException) -> TypeGuard[OSError]:
    """Whether what is named cannot be written there: a file where a folder is wanted, or the other way round."""
    return isinstance(error, OSError) and error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


class FakeitError(ValueError):
    """The job cannot go on. The message is one line for the user: file, field, what was found, what would be right.

    Passwords in it are masked."""

    def __init__(self, message: object = "") -> None:
        super().__init__(_said(message))


class Rejected(Exception):
    """One sample cannot be used and is quarantined. The message is the one-line reason, with file and line.

    Passwords in it are masked."""

    def __init__(self, message: object = "") -> None:
        super().__init__(_said(message))
