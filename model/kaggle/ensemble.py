"""Several networks that look at the same face pictures and answer in one scheme: their mean, and how far they differ.

A network trained on whole pictures (its crop recipe has no margin) sees a picture whole. One trained on face boxes
starts from a guess in the picture's middle and crops again by its own points. A label adapter (or the plain mapping of
schemes) turns the points into the scheme that is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.adapter import Adapter, identity, load_adapter
from fakeit.model.inference.adapter_fit import Seen, fit_adapter
from fakeit.model.inference.backends import Backend, open_backend
from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig, model_file
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box
from fakeit.pipelines.faces.locate import whole
from fakeit.pipelines.landmarks import convert
from fakeit.pipelines.sources import Sample, Source, read_sample

Pictures = Sequence[NDArray[np.uint8]]
BATCH = 64


@dataclass(frozen=True)
class Member:
    """One network of an ensemble.

    Attributes:
        backend: the network.
        adapter: from its scheme to the wanted one; None: the plain mapping.
        weight: of its vote.
        flip: also ask about the mirrored picture.
    """

    backend: Backend
    adapter: Adapter | None = None
    weight: float = 1.0
    flip: bool = True


def open_member(text: str, flip: bool = True) -> Member:
    """`MODEL` or `MODEL=ADAPTER.npz` → a member; the model is named as for `Landmarker.load`. Raises FakeitError."""
    model, _, adapter = text.partition("=")
    return Member(open_backend(model_file(model)), load_adapter(adapter) if adapter else None, flip=flip)


def predict(
    members: Sequence[Member], pictures: Pictures, target: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The points of face pictures.

    Args:
        members: at least one.
        pictures: (H, W, 3) uint8 RGB, each one face from edge to edge.
        target: the scheme that is wanted.

    Returns:
        (N, K, 2) float32 weighted mean, source pixels, and (N, K) float32 the members' spread about it.
    """
    if not members:
        raise FakeitError("no model named; at least one is needed")
    votes = np.stack([_vote(member, pictures, target) for member in members])
    weight = np.array([member.weight for member in members], np.float32)[:, None, None, None]
    mean = (votes * weight).sum(0) / weight.sum()
    return mean, np.sqrt(((votes - mean) ** 2).sum(-1).mean(0))


def _vote(member: Member, pictures: Pictures, target: str) -> NDArray[np.float32]:
    adapter, metadata = member.adapter, member.backend.metadata
    if adapter is None:
        return np.asarray(convert(points(member, pictures), metadata.scheme, target), np.float32)
    if (adapter.source, adapter.target) != (metadata.scheme, target):
        raise FakeitError(
            f"adapter '{adapter.name}' maps {adapter.source} to {adapter.target}, "
            f"wanted is {metadata.scheme} to {target}"
        )
    return points(member, pictures)


def points(member: Member, pictures: Pictures) -> NDArray[np.float32]:
    """A member's points, (N, K, 2), source pixels, through its adapter where it has one."""
    sees_all = member.backend.metadata.crop.margin == 0  # and is shown no picture turned
    config = LandmarkerConfig(flip=member.flip, upright=180.0) if sees_all else LandmarkerConfig(flip=member.flip)
    landmarker, found = Landmarker(member.backend, config, member.adapter), list[NDArray[np.float32]]()
    for start in range(0, len(pictures), BATCH):
        some = pictures[start : start + BATCH]
        boxes = [[whole(picture) if sees_all else _guess(picture)] for picture in some]
        found += [faces[0].points for faces in landmarker.predict_many(some, boxes, 0 if sees_all else 2)]
    return np.stack(found)


def _guess(picture: NDArray[np.uint8]) -> Box:
    """Where a face's tight box is in a picture of one face: three quarters of it, a little below the middle."""
    height, width = picture.shape[:2]
    return Box(0.12 * width, 0.2 * height, 0.76 * width, 0.74 * height)


def weighted(members: Sequence[Member], weights: Sequence[float]) -> list[Member]:
    """The members with other votes. Raises FakeitError unless there is a positive, finite weight for each."""
    if len(weights) != len(members) or not all(0 < weight < np.inf for weight in weights):
        said = ", ".join(f"{weight:g}" for weight in weights)
        raise FakeitError(f"--weight {said} for {len(members)} models; one number above 0 is needed for each")
    return [replace(member, weight=weight) for member, weight in zip(members, weights, strict=True)]


def fit_labels(member: Member, source: Source, samples: Sequence[Sample], name: str) -> tuple[Adapter, float]:
    """An adapter from a member's points to a source's labels: what little real data can teach without training.

    Args:
        member: the network; its adapter is not asked.
        source: of whole pictures.
        samples: labelled, none that the result is scored on.
        name: of the adapter.

    Returns:
        The adapter, and the share of the error that is left in cross-validation.

    Raises:
        FakeitError: none of the samples can be read; those that cannot are left out.
    """
    labelled: list[tuple[NDArray[np.float32], NDArray[np.uint8], str]] = []
    reason = None
    for sample in samples:
        try:
            annotation, picture = read_sample(source, sample)
            labelled.append((annotation.landmarks, picture, identity(sample)))
        except Rejected as rejected:
            reason = reason or rejected
    if not labelled:
        raise FakeitError(f"no picture with labels can be read ({reason or 'there is none'})")
    landmarks, pictures, seen = zip(*labelled, strict=True)
    own, given = points(replace(member, adapter=None), pictures), member.backend.metadata.scheme
    return fit_adapter(Seen(own), np.stack(landmarks), given, source.scheme, name, f"{len(labelled)} pictures", seen)
