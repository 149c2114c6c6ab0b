"""The two ways in which things go wrong for a user: the job cannot go on, or one sample cannot be used."""

from __future__ import annotations


class FakeitError(ValueError):
    """The job cannot go on. The message is one line for the user: file, field, what was found, what would be right."""


class Rejected(Exception):
    """One sample cannot be used and is quarantined. The message is the one-line reason, with file and line."""
