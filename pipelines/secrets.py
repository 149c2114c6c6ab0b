"""Passwords and tokens out of everything that is shown or kept: error lines, warnings, run records, reports.

They reach us in addresses (`https://me:password@host`, `…?token=…`) and in the environment (`MLFLOW_TRACKING_TOKEN`),
and libraries repeat them in their own errors.
"""

from __future__ import annotations

import os
import re
from typing import Any, TextIO

MASK = "***"
_IN_ADDRESS = re.compile(r"(?P<before>\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/?#:@'\"]*):[^\s/?#'\"]*(?P<at>@)")
_IN_QUERY = re.compile(
    r"(?P<before>[?&;](?:[\w.-]*(?:token|password|passwd|secret|signature|credential|api_?key|access_?key)|sig|key)=)"
    r"[^&;\s'\"#]+",
    re.IGNORECASE,
)
_IN_HEADER = re.compile(r"(?P<before>\b(?:bearer|basic)\s+)(?=\S*[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
_NAMES = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY|SAS_KEY|ACCOUNT_KEY)", re.IGNORECASE)
_SHORTEST = 6  # a shorter value of the environment would blot out ordinary words


def masked(text: str) -> str:
    """`text` with every password, token and key in it replaced by three stars."""
    for value in _of_environment():
        text = text.replace(value, MASK)
    text = _IN_ADDRESS.sub(rf"\g<before>:{MASK}\g<at>", text)
    text = _IN_QUERY.sub(rf"\g<before>{MASK}", text)
    return _IN_HEADER.sub(rf"\g<before>{MASK}", text)


def without_secrets(value: Any) -> Any:
    """Nested dicts and lists as JSON holds them, every text in them masked."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_secrets(item) for item in value)
    return value


def _of_environment() -> list[str]:
    found = {v for k, v in os.environ.items() if _NAMES.search(k) and len(v) >= _SHORTEST and not v.isdigit()}
    return sorted(found, key=len, reverse=True)


class MaskedStream:
    """A text stream that hides secrets on their way to `stream`; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(masked(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
