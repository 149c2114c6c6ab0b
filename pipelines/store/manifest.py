"""The manifest is the dataset: what is in it, how it was made, and the proof that it is whole.

It is one JSON file, written last, after every shard stands. A folder without it is no dataset. It is Spark's commit
point, what a resumed job compares with, MLflow's dataset digest, and all that a loader needs: no pickled schema is
read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from fakeit.pipelines.dense_points import DENSE
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.files.file_names import climbs
from fakeit.pipelines.files.storage import is_url, join, read_bytes, size_of, write_atomically
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.store.schema import RowShape
from fakeit.pipelines.store.shards import Shard, file_hash

FORMAT = 1
NAME = "manifest.json"
LIMIT = 1 << 30  # bytes: a million rejections with their reasons take 200 MB
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Rejection:
    """A sample that was left out: its id and the one-line reason, with file and line where there is one."""

    image_id: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """See the module. `conf` is the whole conf that made the dataset, as plain values; `crop` its crop recipe;
    `unmatched` says how many files and rows of the source were no samples, by kind, with examples."""

    scheme: str
    crop: CropConfig
    image_codec: str
    seed: int
    conf: dict[str, Any]
    code_version: str
    shards: tuple[Shard, ...]
    rejected: tuple[Rejection, ...]
    format: int = FORMAT
    unmatched: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> RowShape:
        dense = DENSE if self.conf.get("source", {}).get("options", {}).get("dense") else 0
        return RowShape(self.crop.size, self.crop.channels, scheme(self.scheme).count, self.image_codec, dense)

    @property
    def digest(self) -> str:
        """16 hex digits that name the content: scheme, crop recipe and every shard's hash."""
        content = [self.scheme, asdict(self.crop), [(s.path, s.sha256) for s in self.shards]]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def of(self, split: str) -> tuple[Shard, ...]:
        """The shards of one split, in order."""
        return tuple(s for s in self.shards if s.split == split)

    def rows(self, split: str) -> int:
        return sum(s.rows for s in self.of(split))

    def images(self, split: str) -> int:
        return sum(s.images for s in self.of(split))


def write(dataset: str, manifest: Manifest) -> None:
    """Writes the manifest: from here on the folder is a dataset."""
    value = {"format": manifest.format, "digest": manifest.digest, **asdict(manifest)}
    weights = {s["path"]: s.pop("row_weights") for s in value["shards"]}  # apart, since older versions pass it over
    value["row_weights"] = {path: told for path, told in weights.items() if told is not None}
    value["splits"] = {s: {"rows": manifest.rows(s), "images": manifest.images(s)} for s in SPLITS}
    with write_atomically(join(dataset, NAME)) as file:
        file.write(json.dumps(value, indent=1).encode())


def load(dataset: str) -> Manifest:
    """Reads a dataset's manifest.

    Raises:
        FakeitError: no manifest, not JSON, another format, or a field missing.
    """
    location = join(dataset, NAME)
    try:
        value = json.loads(read_bytes(location, LIMIT))
    except FileNotFoundError as error:
        raise FakeitError(
            f"{dataset}: no {NAME}, so this is no dataset (or a job that wrote it has not finished: "
            f"run jobs/preprocess.py with --resume)"
        ) from error
    except OSError as error:
        raise FakeitError(f"{location}: cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:
        raise FakeitError(f"{location}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise FakeitError(f"{location}: a {type(value).__name__}, expected the table of a dataset")
    if value.get("format") != FORMAT:
        raise FakeitError(f"{location}: format {value.get('format')!r}, this version reads format {FORMAT}")
    try:
        weights = value.get("row_weights", {})
        shards = tuple(Shard(**s, row_weights=weights.get(s["path"])) for s in value["shards"])
        _check_paths(dataset, shards)
        return Manifest(
            scheme=value["scheme"],
            crop=CropConfig(**value["crop"]),
            image_codec=value["image_codec"],
            seed=value["seed"],
            conf=value["conf"],
            code_version=value["code_version"],
            shards=shards,
            rejected=tuple(Rejection(**r) for r in value["rejected"]),
            unmatched=dict(value.get("unmatched", {})),
        )
    except FakeitError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FakeitError(f"{location}: field {error} is missing or unknown") from error


def _check_paths(dataset: str, shards: Iterable[Shard]) -> None:
    """A stranger's manifest may not name files elsewhere, by itself or through a link. Raises FakeitError."""
    top = None if is_url(dataset) else os.path.realpath(dataset)
    for shard in shards:
        leads_out = not isinstance(shard.path, str) or climbs(shard.path)
        if top and not leads_out:
            leads_out = not os.path.realpath(join(dataset, shard.path)).startswith(top.rstrip(os.sep) + os.sep)
        if leads_out:
            raise FakeitError(f"{join(dataset, NAME)}: shard {shard.path!r} leads out of the dataset; it is not read")


def verify(dataset: str, shards: Iterable[Shard], hashes: bool = False) -> None:
    """Holds the shards on disk against the manifest: their sizes, and their hashes when asked.

    Raises:
        FakeitError: naming the first shard that is missing, truncated or altered.
    """
    for shard in shards:
        location = join(dataset, shard.path)
        try:
            size = size_of(location)
        except FileNotFoundError as error:
            raise FakeitError(f"shard {location} is missing; make it again with jobs/preprocess.py --resume") from error
        if size != shard.bytes:
            raise FakeitError(f"shard {location} has {size} bytes, the manifest says {shard.bytes}")
        if hashes and file_hash(location) != shard.sha256:
            raise FakeitError(f"shard {location} was altered: its SHA-256 is not the manifest's {shard.sha256[:16]}…")
