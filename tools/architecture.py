#!/usr/bin/env python
"""The picture and the links of docs/ARCHITECTURE.md, drawn from the code so that they cannot age.

    python tools/architecture.py            # writes the picture anew
    python tools/architecture.py --check    # says what is not as the code has it, and ends with 1 (a test runs this)

Rooms are the folders of pipelines/ and model/ (files beside them are a room of their own). An arrow is an import.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ARCHITECTURE.md"
BEGIN, END = "<!-- drawn by tools/architecture.py -->", "<!-- end of the drawing -->"

# Floors from the ground up; a room may import from lower floors and from its own folder, never from above.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("pipelines",),
    ("pipelines.files", "pipelines.machine"),
    ("pipelines.faces",),
    ("pipelines.store", "pipelines.sources"),
    ("pipelines.synth",),
    ("pipelines.flows",),
    ("model.networks",),
    ("model.distributed", "model.data", "model.tracking"),
    ("model.training",),
    ("model.inference",),
    ("model.evaluation", "model.kaggle", "model"),
    ("model.comparison",),
    ("jobs",),
)
RETURNS = 3  # a way may come back to one file so often


def room(module: str) -> str:
    """`fakeit.model.data.loader` → `model.data`; a file beside the rooms is of its top folder."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir() else parts[0]


def imports() -> Iterator[tuple[str, str]]:
    """(importing module, imported module) for every import inside the package, those in functions too."""
    for top in ("pipelines", "model", "jobs"):
        for path in sorted((ROOT / top).rglob("*.py")):
            module = "fakeit." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fakeit."):
                    for alias in node.names:
                        target = f"{node.module}.{alias.name}"
                        is_file = (ROOT / Path(*target.split(".")[1:])).with_suffix(".py").is_file()
                        yield module, target if is_file else str(node.module)


def arrows() -> dict[tuple[str, str], int]:
    """(room, room it imports from) → how many imports."""
    found: dict[tuple[str, str], int] = {}
    for module, target in imports():
        pair = room(module), room(target)
        if pair[0] != pair[1]:
            found[pair] = found.get(pair, 0) + 1
    return found


def wrong_arrows() -> list[str]:
    """Imports that run upwards: module, what it imports, and the floors."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    said = []
    for module, target in imports():
        a, b = room(module), room(target)
        if a == b:
            continue
        if a not in floor or b not in floor:
            said.append(f"{module}: room {a if a not in floor else b} is on no floor; name it in tools/architecture.py")
        elif floor[b] >= floor[a]:
            said.append(f"{module} imports {target}: {b} does not lie below {a}")
    return said


def picture() -> str:
    """Mermaid: a box a room, an arrow a tie; pipelines' own files, on which everything rests, tie nothing."""
    lines = ["```mermaid", "flowchart TB"]
    for top in ("jobs", "model", "pipelines"):
        rooms = sorted({name for names in FLOORS for name in names if name.split(".")[0] == top})
        if top == "jobs":
            lines.append("  jobs")
            continue
        lines.append(f"  subgraph {top}_ [{top}]")
        for name in rooms:
            about = f"{name}/*.py" if "." not in name else name.split(".")[1]
            lines.append(f"    {name.replace('.', '_')}[{about}]")
        lines.append("  end")
    for a, b in _without_shortcuts({pair for pair in arrows() if _inside_one_floor(*pair)}):
        lines.append(f"  {a.replace('.', '_')} --> {b.replace('.', '_')}")
    lines += ["  jobs --> model_", "  model_ --> pipelines_", "```"]
    return "\n".join(lines)


def _inside_one_floor(a: str, b: str) -> bool:
    return a.split(".")[0] == b.split(".")[0] and "pipelines" not in (a, b)


def _without_shortcuts(pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The ties without those that a longer way says already (the transitive reduction; there is no circle)."""

    def reaches(start: str, goal: str) -> bool:
        return any(b == goal or reaches(b, goal) for a, b in pairs if a == start)

    return sorted((a, b) for a, b in pairs if not any(reaches(c, b) for s, c in pairs if s == a and c != b))


def drawn(page: str) -> str:
    """The page with its picture as the code has it."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{picture()}\n{END}{rest.partition(END)[2]}"


def ways(page: str) -> dict[str, list[tuple[str, str]]]:
    """Heading of a way → its calls: (`module.function` as written, file of the link)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for part in re.split(r"^## ", page, flags=re.M)[1:]:
        if part.startswith("The way of"):
            found[part.splitlines()[0]] = re.findall(r"^\d+\. \[`([\w.]+)`\]\(\.\./([\w/.]+)\)", part, flags=re.M)
    return found


def wrong_ways(page: str) -> list[str]:
    """Calls that no file defines as the page says, and ways that come back to a file too often."""
    said = []
    for way, calls in ways(page).items():
        for call, file in calls:
            name = call.split(".")[-1]
            path = ROOT / file
            tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
            kinds = (ast.FunctionDef, ast.ClassDef)
            if name not in {node.name for node in ast.walk(tree) if isinstance(node, kinds)}:
                said.append(f"{way}: {file} defines no {name}")
        for file in {file for _, file in calls}:
            stops = [file == visited for _, visited in calls]
            returns = sum(1 for before, now in zip([False, *stops], stops, strict=False) if now and not before) - 1
            if returns > RETURNS:
                said.append(f"{way}: comes back to {file} {returns} times, {RETURNS} at most")
        if not 5 <= len(calls) <= 12:
            said.append(f"{way}: {len(calls)} calls; five to twelve fit a page")
    return said


def main() -> int:
    """0 where all is as the page says."""
    page = PAGE.read_text()
    if "--check" not in sys.argv:
        PAGE.write_text(drawn(page))
        page = PAGE.read_text()
    problems = wrong_arrows() + wrong_ways(page)
    if drawn(page) != page:
        problems.append(f"{PAGE.relative_to(ROOT)}: the picture is not the code's; run python tools/architecture.py")
    print("\n".join(problems) or f"{PAGE.relative_to(ROOT)}: as the code has it")
    return bool(problems)


if __name__ == "__main__":
    raise SystemExit(main())
