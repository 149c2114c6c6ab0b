"""The documentation's Markdown → what a site needs that GitHub's pages do not: pages for files beside docs/, notebooks
as text, and a walk over the built pages that finds links to nowhere. No mkdocs in here; docs_site.py is its hook.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
# Files beside docs/ that are pages with a place of their own → their name in the site.
PAGES = {"model/box/README.md": "model.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


def origin_of(src_uri: str) -> str:
    """A page's name in the site → the file in the repository whose text it is."""
    return {name: origin for origin, name in PAGES.items()}.get(src_uri, f"docs/{src_uri}")


def in_site(path: str) -> str | None:
    """A file of the repository → its page in the site; None where there is no such file."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return "index.md"
    return f"source/{path}.md" if (ROOT / path).is_file() else None


def linked_outside(origin: str, markdown: str) -> set[str]:
    """Files of the repository that a page links to and that are no pages yet."""
    links = (match[2] for match in LINK.finditer(FENCE.sub("", markdown)))
    paths = [posixpath.normpath(posixpath.join(posixpath.dirname(origin), link)) for link in links]
    return {path for path in paths if (in_site(path) or "").startswith("source/")}


def relinked(src_uri: str, markdown: str) -> str:
    """A page's text with links that hold in the site."""
    origin, here = origin_of(src_uri), posixpath.dirname(src_uri) or "."

    def replaced(match: re.Match[str]) -> str:
        target = in_site(posixpath.normpath(posixpath.join(posixpath.dirname(origin), match[2])))
        return match[1] + (posixpath.relpath(target, here) if target else match[2]) + match[3]

    return outside_fences(markdown, lambda text: LINK.sub(replaced, text))


def outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """`change` on all text but the listings."""
    out, last = [], 0
    for fence in FENCE.finditer(markdown):
        out += [change(markdown[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*out, change(markdown[last:])])


def listing_page(path: str) -> str:
    text = (ROOT / path).read_text()
    kind = {".py": "python", ".toml": "toml", ".sh": "bash"}.get(Path(path).suffix, "text")
    return f"---\nsearch: {{ exclude: true }}\n---\n# {path}\n\n```{kind}\n{text.rstrip()}\n```\n"


def notebook_page(path: Path) -> str:
    """A notebook's cells as a page: text as it is, code as listings."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    title, rest = parts[0], parts[1:]
    return "\n\n".join([title, f"[Download this notebook]({path.name}){{ .md-button }}", *rest]) + "\n"


class Links(HTMLParser):
    """Addresses that a page points to, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.targets.append(value)
            if value and name in ("id", "name"):
                self.anchors.add(value)


def broken_links(site: Path) -> list[str]:
    """Links within the site that lead to no file or to no anchor of it; addresses elsewhere are not asked."""
    pages = {}
    for path in site.rglob("*.html"):
        pages[path] = Links()
        pages[path].feed(path.read_text())
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are absolute, for it is shown at any address
            continue
        for address in page.targets:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target = target / "index.html"
            anchor = unquote(parts.fragment)
            missing = target not in pages or (anchor and anchor not in pages[target].anchors | {"__skip"})
            if not target.is_file() or (target.suffix == ".html" and missing and "browser" not in target.parts):
                broken.append(f"{path.relative_to(site)} → {address}")
    return broken
