"""DATASET/report.html: what a dataset holds, for a person: counts, rejects, a contact sheet, distributions.

Made from the finished dataset alone and self-contained. It looks at a few shards, so it takes seconds whatever the
dataset's size, and it is no part of the dataset: nothing reads it, and its absence breaks nothing.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fakeit.pipelines import html_page
from fakeit.pipelines.faces.crop import from_unit
from fakeit.pipelines.faces.draw import contact_sheet, draw_landmarks
from fakeit.pipelines.files.storage import join, write_atomically
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.store import manifest as manifests
from fakeit.pipelines.store.manifest import SPLITS, Manifest
from fakeit.pipelines.store.replacing import REPORT
from fakeit.pipelines.store.schema import Rows
from fakeit.pipelines.store.shards import Shard, read_columns, read_shard

LOOKED_AT = 24  # shards whose points and boxes are read
FACES = 48  # on the contact sheet


def write(dataset: str, seconds: float = 0.0) -> str:
    """Writes the page of a finished dataset; returns its location.

    Args:
        dataset: its folder or URL.
        seconds: that the job took, where known.

    Raises:
        FakeitError: no dataset, or a shard that cannot be read.
    """
    manifest = manifests.load(dataset)
    location = join(dataset, REPORT)
    with write_atomically(location, durable=False) as file:
        file.write(page(dataset, manifest, seconds).encode())
    return location


def page(dataset: str, manifest: Manifest, seconds: float) -> str:
    """The HTML of the page."""
    looked_at = _spread(manifest.shards, LOOKED_AT)
    columns = [
        read_columns(join(dataset, s.path), manifest.shape, ("landmarks", "visibility", "box", "source_from_crop"))
        for s in looked_at
    ]
    rows = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]} if columns else {}
    parts = [
        f"<h1>Dataset {html.escape(manifest.digest)}</h1>",
        f"<p class=note>{html.escape(dataset)} · scheme {scheme(manifest.scheme).title} · "
        f"crops of {manifest.crop.size} px, {manifest.crop.colour} · seed {manifest.seed} · "
        f"code {html.escape(manifest.code_version)}" + (f" · made in {seconds:,.0f} s" if seconds else "") + "</p>",
        _counts(manifest),
        _rejects(manifest),
        _unmatched(manifest),
    ]
    if rows:
        seen = sum(s.rows for s in looked_at)
        parts += [
            "<h2>Faces</h2>",
            html_page.picture(_sheet(dataset, manifest)),
            f"<h2>Distributions</h2><p class=note>over {seen:,} rows of {len(looked_at)} shards</p>",
            _plots(manifest, rows),
        ]
    parts.append(f"<h2>Conf</h2><pre>{html.escape(json.dumps(manifest.conf, indent=1))}</pre>")
    return html_page.document(f"Dataset {manifest.digest}", "\n".join(parts))


def _counts(manifest: Manifest) -> str:
    rows = []
    for split in SPLITS:
        shards = manifest.of(split)
        sizes = [s.rows for s in shards]
        span = f"{min(sizes):,} to {max(sizes):,}" if sizes else "–"
        megabytes = sum(s.bytes for s in shards) / 1e6
        rows.append([split, f"{manifest.images(split):,}", f"{manifest.rows(split):,}", str(len(shards)), span])
        rows[-1].append(f"{megabytes:,.1f}")
    return html_page.table(["split", "images", "rows", "shards", "rows a shard", "MB"], rows)


def _rejects(manifest: Manifest) -> str:
    """Rejections by kind (the reason without its file and numbers), and the first of each in full."""
    if not manifest.rejected:
        return "<h2>Rejected</h2><p>none</p>"
    kinds = Counter(_kind(r.reason) for r in manifest.rejected)
    first = {_kind(r.reason): r.reason for r in reversed(manifest.rejected)}
    rows = [[f"{count:,}", kind, first[kind]] for kind, count in kinds.most_common(30)]
    total = len(manifest.rejected)
    share = total / max(total + sum(manifest.images(s) for s in SPLITS), 1)
    table = html_page.table(["images", "reason", "the first"], rows, text=(1, 2))
    return f"<h2>Rejected: {total:,} ({share:.2%})</h2>{table}"


def _unmatched(manifest: Manifest) -> str:
    """Files and rows of the source that are no samples."""
    if not manifest.unmatched:
        return "<h2>Unmatched</h2><p>none</p>"
    lines = [
        f"<tr><td class=text>{html.escape(kind)}<td>{about['count']:,}<td class=text>"
        f"{html.escape(', '.join(about['examples'][:5]))}</tr>"
        for kind, about in manifest.unmatched.items()
    ]
    return f"<h2>Unmatched</h2><table><tr><th>what<th>how many<th>the first</tr>{''.join(lines)}</table>"


def _kind(reason: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "…", reason.rsplit(": ", 1)[-1])[:80]


def _spread(shards: Sequence[Shard], count: int) -> list[Shard]:
    """`count` shards, some of every split."""
    chosen = []
    for split in SPLITS:
        part = [s for s in shards if s.split == split]
        many = max(1, round(count * len(part) / max(len(shards), 1)))
        chosen += [part[i] for i in np.unique(np.linspace(0, len(part) - 1, min(many, len(part))).astype(int))]
    return chosen


def _sheet(dataset: str, manifest: Manifest) -> NDArray[np.uint8]:
    """Rows of the first shard of the largest split, points drawn."""
    shard = max(SPLITS, key=manifest.rows)
    rows = read_shard(join(dataset, manifest.of(shard)[0].path), manifest.shape)
    picks = range(min(FACES, len(rows["image_id"])))
    size = manifest.crop.size
    tiles = [draw_landmarks(rows["image"][i], from_unit(rows["landmarks"][i], size), manifest.scheme) for i in picks]
    names = [f"{rows['image_id'][i][-14:]} v{rows['variant'][i]}" for i in picks]
    return contact_sheet(tiles, 8, min(max(size, 96), 160), names)


def _plots(manifest: Manifest, rows: Rows) -> str:
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    points, box = rows["landmarks"], rows["box"]
    axes[0].hist(box[:, 2:].max(axis=1), bins=50)
    axes[0].set(title="face box, longer side", xlabel="source pixels")
    scale = 1 / np.sqrt(np.abs(np.linalg.det(rows["source_from_crop"][:, :2, :2])))
    axes[1].hist(scale, bins=50)
    axes[1].set(title="crop pixels for a source pixel", xlabel="above 1: blown up")
    turn = np.degrees(np.arctan2(rows["source_from_crop"][:, 1, 0], rows["source_from_crop"][:, 0, 0]))
    axes[2].hist(np.where(np.abs(turn) > 90, np.sign(turn) * (180 - np.abs(turn)), -turn), bins=50)
    axes[2].set(title="the crop's turn against the source", xlabel="degrees, clockwise")
    if points.shape[1]:
        present = points[np.isfinite(points).all(axis=2)]
        axes[3].hist2d(present[:, 0], present[:, 1], bins=96, range=[[-0.1, 1.1], [-0.1, 1.1]], cmap="magma")
        axes[3].invert_yaxis()
        axes[3].set(title="where points lie, unit crop", aspect="equal")
        known = scheme(manifest.scheme)
        missing = 100 * (rows["visibility"] == 0).mean(axis=0)
        axes[4].bar(range(known.count), missing)
        axes[4].set(title="missing, % of rows", xlabel="point", ylim=(0, max(1.0, missing.max() * 1.05)))
        outside = 100 * ((points < 0) | (points > 1)).any(axis=2).mean(axis=0)
        axes[5].bar(range(known.count), outside)
        axes[5].set(title="outside the crop, % of rows", xlabel="point", ylim=(0, max(1.0, outside.max() * 1.05)))
    else:
        for empty in axes[3:]:
            empty.set_axis_off()
    return html_page.png(figure, "distributions")
