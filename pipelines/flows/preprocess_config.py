"""What a file of conf/preprocess says: one frozen dataclass a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.augment import AugmentConfig
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.faces.locate import BoxKind


@dataclass(frozen=True)
class SplitConfig:
    """Shares of the images, by a hash of their ids, so that all variants of an image fall on one side and an image
    keeps its split when others are added. A dataset's own splits win over these."""

    val: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test <= 1):
            raise FakeitError(
                f"split.val {self.val} and split.test {self.test} must be 0 or more and add up to at most 1"
            )


@dataclass(frozen=True)
class StoreConfig:
    """How rows are stored. A task peaks at 0.12 GB and six times `rows_per_shard` × bytes a row."""

    rows_per_shard: int = 1024
    image_codec: Literal["raw", "png"] = "raw"
    max_rejected: float = 0.01

    def __post_init__(self) -> None:
        if self.rows_per_shard < 1:
            raise FakeitError(f"store.rows_per_shard is {self.rows_per_shard}; at least 1 is needed")
        if not 0 <= self.max_rejected <= 1:
            raise FakeitError(f"store.max_rejected is {self.max_rejected}; a share of the samples, 0 to 1, is needed")


@dataclass(frozen=True)
class SourceConfig:
    """What is read.

    Attributes:
        kind: of `fakeit.pipelines.sources`.
        box: where a face is: the tight box of its "landmarks", the dataset's "annotation", a "csv", what a detector
            finds ("yunet", "mtcnn", "haar", mapped to the tight box), or the whole "image".
        boxes: the CSV, `image,x,y,width,height` with image as relative to the input, or its name.
        smallest_face: side of the smallest face that a detector looks for, as a share of the picture's shorter side;
            None: the detector's own.
        options: the kind's own, see its class.
    """

    kind: str = "face_synthetics"
    box: BoxKind = "landmarks"
    boxes: str = ""
    smallest_face: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.box == "csv") != bool(self.boxes):
            raise FakeitError(
                f"source.box is '{self.box}' and source.boxes '{self.boxes}': a CSV needs both, 'csv' and file"
            )


@dataclass(frozen=True)
class PreprocessConfig:
    """One conf file of conf/preprocess."""

    seed: int = 1
    source: SourceConfig = field(default_factory=SourceConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
