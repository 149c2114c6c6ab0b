"""The documentation as a site: what its navigation and API pages name exists, and links to nowhere are found."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tools import docs_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def test_the_navigation_names_pages() -> None:
    made = {*docs_pages.PAGES.values(), *(f"notebooks/{p.stem}.md" for p in DOCS.glob("notebooks/*.ipynb"))}
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = re.findall(r"[\w/]+\.md", nav)
    assert named and [n for n in named if n not in made and not (DOCS / n).is_file()] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("api/*.md")), ids=lambda p: p.stem)
def test_api_pages_name_modules(page: Path) -> None:
    named = [ROOT / module.replace(".", "/") for module in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.M)]
    assert named
    assert [m for m in named if not m.with_suffix(".py").is_file() and not (m / "__init__.py").is_file()] == []


def test_links_beside_docs_become_pages() -> None:
    text = "[a](../conf/train/demo.toml) [b](training.md#choices) [c](https://x.org/a.md)\n```\n[d](../conf/no)\n```\n"
    text += "[e](../model/box/README.md)"
    assert docs_pages.linked_outside("docs/x.md", text) == {"conf/train/demo.toml"}
    inside = docs_pages.relinked("x.md", text)
    assert "[a](source/conf/train/demo.toml.md)" in inside and "[b](training.md#choices)" in inside
    assert "[c](https://x.org/a.md)" in inside and "[d](../conf/no)" in inside and "[e](model.md)" in inside
    assert "(../source/conf/train/box.toml.md)" in docs_pages.relinked("api/x.md", "[a](../../conf/train/box.toml)")


def test_links_to_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    targets = ("a/", "a/#yes", "a/#no", "no.png", "https://x.org")
    (tmp_path / "index.html").write_text("".join(f'<a href="{target}">x</a>' for target in targets))
    (tmp_path / "a" / "index.html").write_text('<h1 id="yes"></h1><a href="../index.html">')
    assert docs_pages.broken_links(tmp_path) == ["index.html → a/#no", "index.html → no.png"]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    mkdocs = ROOT / "build" / "docs-venv" / "bin" / "mkdocs"
    if not mkdocs.is_file():
        pytest.skip("needs what `make docs` installs in build/docs-venv")
    command = [mkdocs, "build", "--strict", "--site-dir", tmp_path / "site"]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=280)
    assert built.returncode == 0, built.stderr[-2000:]
    pages = {p.parent.relative_to(tmp_path / "site").as_posix() for p in tmp_path.glob("site/**/index.html")}
    assert {"tasks", "faq", "api/use", "notebooks/use", "model", "changelog", "source/conf/train/box.toml"} <= pages
    theirs = re.findall(
        r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', (tmp_path / "site/index.html").read_text()
    )
    assert theirs == []  # nothing is loaded from other servers


@pytest.mark.parametrize("form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda p: p.stem)
def test_issue_forms_are_forms(form: Path) -> None:
    read = yaml.safe_load(form.read_text())
    if form.stem != "config":
        assert {"name", "description", "body"} <= set(read)
        assert all({"id", "attributes"} <= set(part) and part["attributes"]["label"] for part in read["body"])


def test_papers_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("version")
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    changes = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert cited and changes[0] == "Unreleased" and changes[1] == cited[1]
    assert version in (None, cited[1])
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
