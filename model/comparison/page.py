"""A page that is written twice: as one self-contained HTML file, and as Markdown with its pictures beside it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from fakeit.pipelines import html_page


class Page:
    """The same text twice: as HTML with its pictures inside, as Markdown with its pictures in a folder beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.html: list[str] = []
        self.markdown: list[str] = []
        (folder / "pictures").mkdir(parents=True, exist_ok=True)

    def heading(self, text: str, level: int = 2) -> None:
        self.html.append(f"<h{level}>{html.escape(text)}</h{level}>")
        self.markdown.append(f"{'#' * level} {text}\n")

    def answer(self, sentences: Sequence[str]) -> None:
        """What the page says, before everything else: a paragraph each."""
        for text in sentences:
            self.html.append(f"<p class=answer>{html.escape(text)}</p>")
            self.markdown.append(f"**{text}**\n")

    def text(self, text: str) -> None:
        self.html.append(f"<p class=note>{html.escape(text)}</p>")
        self.markdown.append(text + "\n")

    def code(self, text: str) -> None:
        self.html.append(f"<pre>{html.escape(text)}</pre>")
        self.markdown.append(f"```\n{text}\n```\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.html.append(html_page.table(head, rows))
        lines = ["| " + " | ".join(v.replace("|", "\\|") for v in row) + " |" for row in (head, *rows)]
        lines.insert(1, "|---|" + "---:|" * (len(head) - 1))
        self.markdown.append("\n".join(lines) + "\n")

    def figure(self, name: str, figure: Figure) -> None:
        (self.folder / "pictures" / f"{name}.svg").write_text(html_page.svg(figure), encoding="utf-8")
        self.html.append(html_page.inline_svg(figure))
        self.markdown.append(f"![{name}](pictures/{name}.svg)\n")

    def picture(self, name: str, path: Path) -> None:
        data = path.read_bytes()
        self.html.append(html_page.jpeg(data, name))
        (self.folder / "pictures" / f"{name}.jpg").write_bytes(data)
        self.markdown.append(f"![{name}](pictures/{name}.jpg)\n")

    def write(self, title: str) -> list[Path]:
        paths = [self.folder / "report.html", self.folder / "report.md"]
        paths[0].write_text(html_page.document(title, "\n".join(self.html)), encoding="utf-8")
        paths[1].write_text("\n".join(self.markdown), encoding="utf-8")
        return paths
