"""What an error of MLflow means: a server that is silent may answer later; one that refuses must be asked otherwise."""

from __future__ import annotations

from fakeit.pipelines.errors import one_line

SILENT, REFUSES, FAILS = "does not answer", "refuses", "fails"


class Refused(Exception):
    """The server was reached, and what is asked of it cannot be."""


def trouble(error: Exception) -> tuple[str, str]:
    """What is wrong with the server, as the verb of a sentence, and the error in one line."""
    from mlflow.exceptions import MlflowException

    line = one_line(error, 300)
    if isinstance(error, Refused):
        return REFUSES, line
    if isinstance(error, MlflowException):
        if error.error_code not in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"):
            return REFUSES, line
        return (SILENT if "API request to" in line else FAILS), line
    if isinstance(error, OSError) or "OperationalError" in type(error).__name__:  # requests' errors are OSErrors
        return SILENT, line
    return FAILS, f"{type(error).__name__}: {line}"


def in_words(address: str, error: Exception) -> str:
    """What is wrong with the server at `address`, to begin a warning or an error with."""
    kind, line = trouble(error)
    return f"MLflow at {address} {kind} ({line})"
