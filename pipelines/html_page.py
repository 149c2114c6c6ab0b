"""Reports as one self-contained HTML page: one look for all, light and dark, readable printed, no file beside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """:root{color-scheme:light dark;--line:#ddd;--head:#f4f4f4;--note:#555;--code:#f6f6f6}
@media(prefers-color-scheme:dark){:root{--line:#444;--head:#2a2a2a;--note:#aaa;--code:#222}
svg:not(.own),img{background:#fff}}
body{font:15px/1.5 system-ui,sans-serif;max-width:76em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
td,th{padding:.25em .8em;border-bottom:1px solid var(--line);text-align:right}th{background:var(--head)}
td:first-child,th:first-child,td.text{text-align:left}td{white-space:nowrap}td.text{white-space:normal}
img,svg{max-width:100%;height:auto}h2{margin-top:1.8em}
pre{background:var(--code);padding:.8em;font-size:12px;white-space:pre-wrap}.note{color:var(--note)}
.answer{font-size:1.15em;border-left:4px solid #0072b2;padding-left:.8em}svg.own text{fill:currentColor}
@media print{:root{color-scheme:light}
body{max-width:none;margin:0}table{display:table;font-size:9px}td{white-space:normal}h2{break-after:avoid}tr,img,svg{break-inside:avoid}}"""


def document(title: str, body: str) -> str:
    """A whole page. `body`: HTML; `title`: plain text."""
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{html.escape(title)}</title>"
    return f"<!doctype html><html lang=en>{head}<style>{STYLE}</style>\n{body}\n</html>\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = ()) -> str:
    """A table of plain-text cells; no head where all of it is empty. Columns in `text` are set to the left."""

    def line(values: Sequence[str], tag: str) -> str:
        kinds = [" class=text" if column in text and tag == "td" else "" for column in range(len(values))]
        cells = (f"<{tag}{kind}>{html.escape(str(v))}</{tag}>" for v, kind in zip(values, kinds, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    top = line(head, "th") if any(head) else ""
    return f"<table>{top}{''.join(line(row, 'td') for row in rows)}</table>"


def picture(image: NDArray[np.uint8], alt: str = "faces") -> str:
    """(H, W, 3) uint8 RGB as a JPEG inside the page."""
    good, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert good
    return jpeg(data.tobytes(), alt)


def jpeg(data: bytes, alt: str) -> str:
    """The bytes of a JPEG file inside the page."""
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{html.escape(alt)}" src="{source}">'


def png(figure: Figure, alt: str) -> str:
    """A matplotlib figure as pixels: for those of many thousand marks."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=90)
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def svg(figure: Figure) -> str:
    """A matplotlib figure as an <svg> element, its words as text; the same figure gives the same element."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.hashsalt": "fakeit", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def inline_svg(figure: Figure) -> str:
    """Likewise, in the page's own colours: black is the page's text, white its ground, light or dark."""
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        if legend := axes.get_legend():
            legend.get_frame().set_alpha(0)
    return svg(figure).replace("<svg ", "<svg class=own ", 1).replace("#000000", "currentColor")
