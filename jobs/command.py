"""`fakeit COMMAND …`: the jobs of this folder under one name, each the same code as `python jobs/JOB.py …`.

`fakeit --completion bash|zsh|fish` prints what a shell needs to complete commands, options and their choices.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from fakeit import __version__


@dataclass(frozen=True)
class Command:
    """A word behind `fakeit`: which module of `fakeit.jobs` it is, and one line on what for."""

    job: str
    about: str


USE, MAKE, LOOK = "use a model", "make one", "look around"
COMMANDS: dict[str, dict[str, Command]] = {
    USE: {
        "predict": Command("predict", "points on pictures, videos, a camera: drawn, as CSV, JSON, .pts, COCO"),
        "video": Command("video", "faces followed through videos or a camera, drawn as a film"),
        "filters": Command("filters", "glasses, hats, blur, swapped faces"),
        "web": Command("demo_web", "a page to try models in"),
        "evaluate": Command("evaluate", "a model against labelled faces"),
        "models": Command("models", "the models to choose from"),
    },
    MAKE: {
        "synthesize": Command("synthesize", "render faces with their points"),
        "preprocess": Command("preprocess", "faces → crops → a Parquet dataset, on Spark or processes here"),
        "train": Command("train", "a dataset → a trained network, tracked in MLflow"),
        "compare": Command("compare", "grids of networks, sizes, settings, and their report"),
        "export": Command("export", "a checkpoint → ONNX: float32, float16, int8; ONNX → TFLite"),
    },
    LOOK: {
        "inspect": Command("inspect_data", "what is in a dataset: counts, pictures, suspects"),
        "doctor": Command("doctor", "what is installed, what is missing, Java, GPU, versions"),
    },
}
ALL = {name: command for group in COMMANDS.values() for name, command in group.items()}


def main() -> None:
    """The console script's entry."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        raise SystemExit(0)
    if words[0] in ("-V", "--version"):
        print(f"fakeit {__version__}")
        raise SystemExit(0)
    if words[0] == "--completion":
        print(completion(words[1] if len(words) > 1 else "bash"))
        raise SystemExit(0)
    if words[0] not in ALL:
        near = difflib.get_close_matches(words[0], ALL, n=1, cutoff=0.5)
        meant = f"; did you mean 'fakeit {near[0]}'?" if near else ""
        print(f"error: unknown command '{words[0]}'{meant} (fakeit --help shows all)", file=sys.stderr)
        raise SystemExit(2)
    try:
        job = module(words[0])
    except KeyboardInterrupt:  # before `run` could say it
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    sys.argv = [f"fakeit {words[0]}", *words[1:]]
    job.run(job.main, job.parser(), getattr(job, "NEEDS", None))


def module(name: str) -> ModuleType:
    """The job behind a command."""
    return import_module(f"fakeit.jobs.{ALL[name].job}")


def overview() -> str:
    """What `fakeit` alone prints."""
    lines = [f"fakeit {__version__}: facial landmarks learnt from synthetic faces", "", "  fakeit predict photo.jpg"]
    for group, commands in COMMANDS.items():
        lines += ["", f"{group}:", *(f"  {name:<12}{command.about}" for name, command in commands.items())]
    tail = "fakeit COMMAND --help: its options and examples; fakeit --completion bash|zsh|fish: for your shell"
    return "\n".join([*lines, "", tail])


def completion(shell: str) -> str:
    """A script that completes commands and their options; `eval "$(fakeit --completion bash)"` in ~/.bashrc."""
    options = {name: " ".join(_options(name)) for name in ALL}
    if shell == "fish":
        lines = [f"complete -c fakeit -n __fish_use_subcommand -f -a {n} -d '{c.about}'" for n, c in ALL.items()]
        for name, known in options.items():
            seen = f"-n '__fish_seen_subcommand_from {name}'"
            lines += [f"complete -c fakeit {seen} -l {option[2:]}" for option in known.split() if option[:2] == "--"]
        return "\n".join(lines)
    cases = "\n".join(f"    {name}) options='{known}' ;;" for name, known in options.items())
    script = f"""_fakeit() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} options=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W '{" ".join(ALL)}' -- "$word")); return; fi
  case ${{COMP_WORDS[1]}} in
{cases}
  esac
  [[ $word != -* ]] || COMPREPLY=($(compgen -W "$options" -- "$word"))
}}
complete -o bashdefault -o default -F _fakeit fakeit"""
    return f"autoload -U +X bashcompinit && bashcompinit\n{script}" if shell == "zsh" else script


def _options(name: str) -> list[str]:
    return sorted(option for action in module(name).parser()._actions for option in action.option_strings)
