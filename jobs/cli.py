"""What every job has in common: options, the check of the environment, and one clear line when it fails."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from fakeit.pipelines import environment
from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError


class Parser(argparse.ArgumentParser):
    """argparse, with examples kept as written and an unknown option answered with the nearest known one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)

    _given: list[str] = []

    def renamed(self, old: str, new: str) -> None:
        """`old` was an option of earlier versions; whoever gives it is told the new one."""
        self._renamed = {**self._renamed, old: new}

    _renamed: dict[str, str] = {}

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = list(sys.argv[1:] if args is None else args)
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown[0]))
        return parsed

    def _unknown(self, option: str) -> str:
        name = option.split("=")[0]
        if name in self._renamed:
            return f"option '{name}' is now '{self._renamed[name]}'"
        known = [name for action in self._actions for name in action.option_strings]
        return f"unknown option '{option}'{nearest(option.split('=')[0], known)} (--help shows all)"

    def error(self, message: str) -> NoReturn:
        if "are required" in message:  # a mistyped option is why a required one is missing
            known = {name for action in self._actions for name in action.option_strings}
            strange = [word for word in self._given if word.startswith("--") and word.split("=")[0] not in known]
            message = f"{self._unknown(strange[0])}; {message}" if strange else message
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)


def run(main: Callable[[argparse.Namespace], int | None], parser: Parser) -> NoReturn:
    """Parses, checks the environment, calls `main`; leaves with 2 and one line when the user must change something."""
    arguments = parser.parse_args()
    try:
        environment.check()
        code = main(arguments)
        sys.stdout.flush()
    except FakeitError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # whoever read the lines (`| head`) has had enough; so has the flush at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    raise SystemExit(code or 0)
