"""What every job has in common: options, the check of the environment, and one clear line when it fails."""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fakeit.pipelines import progress
from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError, Rejected, refused_by_disk, wrong_place
from fakeit.pipelines.machine import environment, extras
from fakeit.pipelines.secrets import MaskedStream

TRACE = "FAKEIT_TRACE"  # an environment variable: whether the trace of an unforeseen error is printed
SAID = "fakeit "  # how argv[0] begins when a job is run as `fakeit COMMAND`


class _Gathered(argparse.Action):
    """A list option: the first time it is given it takes its default's place, from then on it grows."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, list(values) if before is self.default else [*before, *values])


class Parser(argparse.ArgumentParser):
    """argparse, with examples kept as written and an unknown option answered with the nearest known one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        options["epilog"] = spoken(options.get("epilog") or "")
        super().__init__(*args, **options)
        said = self.add_argument_group("what is said").add_mutually_exclusive_group()
        said.add_argument("--quiet", action="store_true", help="no progress: results and mistakes only")
        said.add_argument("--json-log", action="store_true", help="progress as lines of JSON, on stderr")

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """As argparse's; a list that is given in several parts (`--images A --images B`) is all of them."""
        if options.get("nargs") in ("+", "*") and names[0].startswith("-"):
            options.setdefault("action", _Gathered)
        return super().add_argument(*names, **options)

    _given: list[str] = []

    def renamed(self, old: str, new: str) -> None:
        """`old` was an option of earlier versions; whoever gives it is told the new one."""
        self._renamed = {**self._renamed, old: new}

    _renamed: dict[str, str] = {}

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = list(sys.argv[1:] if args is None else args)
        for before, word in zip(["", *self._given], self._given, strict=False):
            if not word or re.fullmatch(r"--[\w-]+=", word):  # else it would count as not said
                self.error(f"{word.rstrip('=') or before or 'the first argument'}: an empty text (a variable not set?)")
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

    def _as_in(self) -> str:
        """The first whole example, for a command that lacks something."""
        lines = (self.epilog or "").replace("\\\n", " ").splitlines()[1:]
        whole = (" ".join(line.split("  #")[0].split()) for line in lines if "OPTIONS" not in line)
        return next((f"; as in {line}" for line in whole if line), "")

    def error(self, message: str) -> NoReturn:
        if "are required" in message:  # a mistyped option is why a required one is missing
            known = {name for action in self._actions for name in action.option_strings}
            strange = [word for word in self._given if word.startswith("--") and word.split("=")[0] not in known]
            message = f"{self._unknown(strange[0])}; {message}" if strange else f"{message}{self._as_in()}"
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)


def at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for `add_argument`: a whole number that is not below `least`, nor above `most`."""
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number {wanted}")
        return value

    return number


def spoken(text: str) -> str:
    """Command lines in `text` as the user says them: `python jobs/predict.py`, or `fakeit predict` behind `fakeit`."""
    if not sys.argv[0].startswith(SAID):
        return text
    from fakeit.jobs.command import ALL

    names = {command.job: name for name, command in ALL.items()}
    known = "|".join(names)
    return re.sub(rf"(\S*python|\./spark-submit\.sh) jobs/({known})\.py", lambda m: SAID + names[m[2]], text)


def next_step(command: str, *places: object) -> None:
    """The last line of a job: what a person would do next, with the launcher that is there; each `{}` of the command is
    one of `places`, quoted where a shell asks for it."""
    command = command.format(*(shlex.quote(str(place)) for place in places))
    if not extras.is_installed("horovod"):  # the modern set, or a wheel
        ranks = "python" if sys.argv[0].startswith(SAID) else r"torchrun --nproc-per-node \1"
        command = re.sub(r"horovodrun -np (\d+) python", ranks, command)
    print(f"next: {spoken(command)}")


def check(needs: Sequence[str] | None) -> None:
    """Raises FakeitError where a package is missing or of a version that does not fit, saying what to run.

    Args:
        needs: modules beyond the base; None: all that a checkout has.
    """
    if (needs is None or needs) and environment.checked():
        environment.check()
    lacking = [module for module in needs or () if not extras.is_installed(module)]
    if lacking:
        raise FakeitError(f"{sys.argv[0]} needs {', '.join(lacking)}: {extras.remedy(lacking)}")


def open_closed_streams() -> None:
    """Whoever started this may have closed what Python then calls None: nothing comes in, what is said goes nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for as long as the process lives


def run(
    main: Callable[[argparse.Namespace], int | None], parser: Parser, needs: Sequence[str] | None = None
) -> NoReturn:
    """Parses, checks the environment, calls `main`; leaves with 2 and one line when the user must change something.

    Args:
        main: the job.
        parser: of its arguments.
        needs: see `check`.
    """
    open_closed_streams()
    for stream, how in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=how)  # names of files need not be UTF-8
    sys.stdout, sys.stderr = MaskedStream(sys.stdout), MaskedStream(sys.stderr)  # type: ignore[assignment]
    arguments = parser.parse_args()
    progress.show("none" if arguments.quiet else "json" if arguments.json_log else "auto")
    try:
        check(needs)
        code = main(arguments)
        sys.stdout.flush()
    except (FakeitError, Rejected) as error:  # a sample that was needed, not one that a job may leave out
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except ModuleNotFoundError as error:  # of an extra: imported where it is used
        if (error.name or "fakeit").partition(".")[0] == "fakeit":
            raise
        print(f"error: this needs {error.name}: {extras.remedy([str(error.name)])}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # whoever read the lines (`| head`) has had enough; so has the flush at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except Exception as error:  # a mistake of ours; still one line first, and the trace for whoever asks
        if os.environ.get(TRACE):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        found = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        if refused_by_disk(error) or wrong_place(error):
            where = f": {error.filename}" if error.filename else ""
            print(f"error: {error.strerror}{where}", file=sys.stderr)
            code = 2
        else:
            print(f"error: {found} ({place.filename}:{place.lineno}; {TRACE}=1 shows the trace)", file=sys.stderr)
            code = 1
    raise SystemExit(code or 0)
