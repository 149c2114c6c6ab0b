"""mkdocs' hook (mkdocs.yml names it): the pages as they stand on GitHub become a site that is whole by itself.

Markdown here links to files beside docs/ (confs, the model's card), which a site does not have. They become pages:
`.md` files as they are, notebooks as their cells, anything else as a listing. After the build every link of every page
is followed, and one that leads nowhere fails the build.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.docs_pages import PAGES, ROOT, broken_links, linked_outside, listing_page, notebook_page, origin_of, relinked  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that nobody has put into the navigation are listed under More, rather than lost."""
    listed = json.dumps(config.nav)
    more = [p.name for p in sorted(Path(config.docs_dir).glob("*.md")) if f'"{p.name}"' not in listed]
    if more and config.nav:
        config.nav.append({"More": more})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages that are made: files beside docs/ that are linked to, and notebooks."""
    for origin, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / origin).read_text()))
    for notebook in [f for f in files if f.src_uri.endswith(".ipynb")]:
        page = notebook.src_uri.removesuffix(".ipynb") + ".md"
        files.append(File.generated(config, page, content=notebook_page(ROOT / "docs" / notebook.src_uri)))
    linked = [linked_outside(origin_of(f.src_uri), f.content_string) for f in files.documentation_pages()]
    for path in sorted(set().union(*linked)):
        files.append(File.generated(config, f"source/{path}.md", content=listing_page(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    return relinked(page.file.src_uri, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """What draws diagrams is loaded where there are some; the theme else takes it from another server."""
    up = "../" * (page.url.count("/"))
    return f'<script src="{up}diagrams/mermaid.min.js"></script>{html}' if 'class="mermaid"' in html else html


def on_post_build(config: MkDocsConfig) -> None:
    """The browser page's networks and runtime (tools/browser_page.py) join it; then all links are followed."""
    site = Path(config.site_dir)
    for made, place in (("browser", "browser/vendor"), ("diagrams", "diagrams")):
        if (ROOT / "build" / made).is_dir():
            shutil.copytree(ROOT / "build" / made, site / place, dirs_exist_ok=True)
    broken = broken_links(site)
    if broken:
        raise PluginError("links that lead nowhere:\n  " + "\n  ".join(broken))
