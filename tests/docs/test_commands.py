"""What the documentation tells people to type: it exists and parses, and (slow) runs as written in a bare clone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import check_docs
from tools.check_docs import Command

ROOT = Path(__file__).resolve().parents[2]
PAGES = check_docs.pages([])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_of_a_page_parse(page: Path) -> None:
    assert [problem for command in check_docs.commands(page) for problem in check_docs.problems(command)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_say_what_they_are(page: Path) -> None:
    assert check_docs.unlabelled(page) == []  # sh is checked, text is not; a block that says nothing would be neither


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("python jobs/predict.py --imagse a --output b.csv", "did you mean '--images'"),
        ("python jobs/export.py --model best.pt --output a.onnx --planes", "is now '--layout nchw'"),
        ("torchrun jobs/train.py --config conf/train/nosuch.toml --dataset D", "nosuch.toml does not exist"),
        ("./spark-submit.sh --cluster standalone jobs/nosuch.py --input x", "jobs/nosuch.py does not exist"),
        ("find . | python jobs/submit.py --modle a", "'--modle'"),
        ("make setpu && make test", "no 'setpu'"),
        ("python -m fakeit.pipelines.nosuch", "no module fakeit.pipelines.nosuch"),
        ("pyhton jobs/predict.py", "pyhton"),
    ],
)
def test_what_is_wrong_is_found(text: str, said: str) -> None:
    (problem,) = check_docs.problems(Command("page.md", 7, text))
    assert said in problem and problem.startswith("page.md:7: ")


def test_no_file_keeps_a_merges_markers(tmp_path: Path) -> None:
    assert check_docs.merge_markers() == []
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    ours, middle, theirs = "<" * 7 + " HEAD", "=" * 7, ">" * 7 + " branch"
    (tmp_path / "page.md").write_text(f"Title\n{middle}\n{ours}\na\n{middle}\nb\n{theirs}\n")
    (tmp_path / "code.py").write_text(f"{'<' * 8}\n# {ours}\n")  # neither is one
    assert check_docs.merge_markers(tmp_path) == ["page.md:3: a merge's marker", "page.md:7: a merge's marker"]


def test_blocks_become_commands(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shell = "```sh\n# why\none \\\n  two   # tail\nthree\n```\n"
    page.write_text(f"a\n{shell}```text\nno\n```\n```python\nx = 1\n```\n```\nold\n```\n")
    found = check_docs.commands(page, tmp_path)
    assert [(c.line, c.text) for c in found] == [(4, "one   two   # tail"), (6, "three"), (12, "x = 1\n")]
    assert check_docs.unlabelled(page) == [14]
    assert (
        check_docs.smaller("jobs/synthesize.py --count 20000 --output F") == "jobs/synthesize.py --count 24 --output F"
    )
    assert check_docs.smaller("fakeit train --output R") == "fakeit train --output R --set train.epochs=1"


def test_a_clones_own_code_is_what_runs(tmp_path: Path) -> None:
    """Also behind `fakeit`, which an environment may hold of another checkout, or not at all."""
    clone = check_docs.bare_clone(tmp_path)
    (clone / "fakeit" / "__init__.py").write_text('__version__ = "9.9.9"\n')
    for text in (
        "fakeit --version | grep -qx 'fakeit 9.9.9'",
        "python -c 'import fakeit; assert fakeit.__version__ > \"9\"'",
    ):
        assert check_docs.run_command(Command("page.md", 1, text), clone)[1] == ""
    assert "exit 1" in check_docs.run_command(Command("page.md", 1, "fakeit --version | grep -qx nothing"), clone)[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quick_commands_run_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the pages, what takes seconds each: using a model and exporting one."""
    (page,) = check_docs.pages(["docs/real_faces.md"])
    assert check_docs.run_pages([page], r"jobs/(predict|export)\.py(?!.*--adapter)", tmp_path) == []
    assert capsys.readouterr().out.count(" s python jobs/") >= 5
