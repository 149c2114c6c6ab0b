"""What a training reads, and the crops that its network sees: the tables [data] and [input] of a training conf."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from fakeit.model.data.dataset import DatasetSpec, ReaderName
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.faces.crop import CropConfig


@dataclass(frozen=True)
class InputConfig:
    """The network's crops, where they differ from the stored ones: None is "as stored". Cut on the device, so that one
    dataset of roomy crops (margin 0.4, 160 px) serves any smaller input, turned and shifted anew in every epoch."""

    size: int | None = None
    margin: float | None = None
    colour: Literal["rgb", "grey"] | None = None
    scheme: str | None = None

    def crop(self, stored: CropConfig) -> CropConfig:
        """The recipe of the network's crops. Raises FakeitError: colour out of grey."""
        if self.colour == "rgb" and stored.colour == "grey":
            raise FakeitError("input.colour is 'rgb' but the dataset is grey")
        return replace(
            stored,
            size=self.size or stored.size,
            margin=stored.margin if self.margin is None else self.margin,
            colour=self.colour or stored.colour,
        )


@dataclass(frozen=True)
class DataConfig:
    """What is read, and how.

    Attributes:
        batch_size: rows of a batch. batch_per: of the whole world's batch (the same training on any number of ranks),
            or of each rank's (the world's grows with the ranks; see optimiser.scaling).
        images: train on the first so many images only (nested subsets); 0 is all.
        mix: further datasets, beside --dataset, each with its passes an epoch.
        passes_per_epoch: of the first dataset itself: 3.0 sees every row three times, 0.25 another quarter each epoch.
        reader: "arrow", or "petastorm". Neither runs code of the dataset: Petastorm's pickled schema is not read.
        resident: keep the training split on the device and shuffle it there.
        shuffle_block_shards: shards that are shuffled together.
        rows_by_shard: a rank's part of a batch comes from as few shards as can be: for datasets at URLs and many
            ranks, each of which would else fetch every shard. The batches' rows are the same, not their order.
        mixup: α of mixup; 0 is none.
    """

    batch_size: int = 64
    batch_per: Literal["world", "rank"] = "world"
    images: int = 0
    mix: tuple[DatasetSpec, ...] = ()
    passes_per_epoch: float = 1.0
    reader: ReaderName = "arrow"
    resident: bool = False
    shuffle_block_shards: int = 8
    rows_by_shard: bool = False
    mixup: float = 0.0

    RENAMED: ClassVar[dict[str, str]] = {"share": "passes_per_epoch", "block": "shuffle_block_shards"}

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise FakeitError(f"data.batch_size is {self.batch_size}; at least 1 is needed")
        if self.shuffle_block_shards < 1 or self.images < 0 or self.mixup < 0:
            raise FakeitError("data: shuffle_block_shards must be at least 1; images and mixup start at 0")
