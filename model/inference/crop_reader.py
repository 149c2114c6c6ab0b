"""Boxes in, faces out: a network's passes over the crops of faces, with no detector before and no adapter after.

A crop is made exactly as for training. A later pass can crop again by the points of the one before; a face that lies on
its side is read once more from a crop turned upright, as networks know faces; and a face of a video is looked for where
it was in the frame before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.backends import Backend, ModelMetadata, Output, confidence, run_mirrored
from fakeit.model.inference.results import Face
from fakeit.pipelines.errors import Rejected
from fakeit.pipelines.faces.box import Box, from_landmarks, turned
from fakeit.pipelines.faces.crop import Picture, crop_from_source, equalise, eye_angle, from_unit
from fakeit.pipelines.faces.matrix import Matrix, inverse, transform

UPRIGHT_PASSES = 2  # at most: a first reading of a face turned by 60° says some 40°


class Crop(NamedTuple):
    """What one crop is cut from: a picture, a box in it, and degrees clockwise by which the face is turned back."""

    picture: Picture
    box: Box
    angle: float = 0.0


@dataclass(frozen=True)
class CropReader:
    """A network that reads faces in the pictures they are in. All faces are in the model's own scheme.

    Attributes:
        backend: the network.
        flip: average with the mirrored crop's points.
        upright: a face whose eyes' line is turned by more degrees in its crop is read again from a crop turned upright
            (`UPRIGHT_PASSES` times at most); 180: never.
    """

    backend: Backend
    flip: bool
    upright: float

    @property
    def metadata(self) -> ModelMetadata:
        return self.backend.metadata

    def read(
        self, pictures: Sequence[NDArray[np.uint8]], boxes: Sequence[Sequence[Box]], passes: int
    ) -> list[list[Face]]:
        """The faces in known boxes; each pass takes those of all pictures through the network at once.

        Args:
            pictures: (H, W, 3) uint8 RGB each.
            boxes: of each picture, tight around the points, source pixels.
            passes: after the first, each cropped by the points before; those that turn faces upright come on top.
        """
        crops = []
        for pixels, found in zip(pictures, boxes, strict=True):
            picture = self._picture(pixels, len(found))
            crops += [Crop(picture, box) for box in found]
        faces = iter(self._passes(crops, passes))
        return [[next(faces) for _ in found] for found in boxes]

    def follow(self, pixels: NDArray[np.uint8], faces: Sequence[Face]) -> list[Face]:
        """The faces of a video's next frame, (H, W, 3) uint8 RGB, in one pass over their `crop_to_follow`."""
        picture = self._picture(pixels, len(faces))
        return self.once([self.crop_to_follow(picture, face) for face in faces])

    def crop_to_follow(self, picture: Picture, face: Face) -> Crop:
        """Where a face of the frame before is looked for in the next: around its points. The crop is turned by nothing
        up to `upright` degrees, by all from twice as many on and evenly between: at a border points would tremble."""
        angle = eye_angle(face.points, self.metadata.scheme)
        turn = math.copysign(min(abs(angle), 2 * max(abs(angle) - self.upright, 0.0)), angle)
        by_eyes = self.metadata.crop.align == "eyes"
        return self._around(face.points, Crop(picture, face.box, turn), angle if by_eyes else turn)

    def once(self, crops: Sequence[Crop]) -> list[Face]:
        """One pass of the network over crops of any pictures."""
        if not crops:
            return []
        config = self.metadata.crop
        matrices = [crop_from_source(crop.box, config, crop.angle) for crop in crops]
        cut = [crop.picture.warp(matrix, config.size) for crop, matrix in zip(crops, matrices, strict=True)]
        said = self.run(np.stack([equalise(each, config.equalise) for each in cut]))
        return self._faces(said, matrices, [crop.box for crop in crops])

    def run(self, crops: NDArray[np.uint8]) -> Output:
        """What the network says of crops (N, size, size, channels) uint8; the mean with the mirrored ones where `flip`
        is wanted."""
        said = self.backend.run(crops)
        if not self.flip:
            return said
        both = zip(said, run_mirrored(self.backend, crops), strict=True)
        return Output(*(None if one is None or other is None else (one + other) / 2 for one, other in both))  # type: ignore[arg-type]

    def _picture(self, pixels: NDArray[np.uint8], crops: int) -> Picture:
        return Picture(pixels, self.metadata.crop.colour, crops)

    def _passes(self, crops: Sequence[Crop], passes: int) -> list[Face]:
        """What crops show; `passes` times cropped again by its points, then upright where it has to be."""
        made = self.once(crops)
        for _ in range(passes):
            around = [(face.points, crop) for face, crop in zip(made, crops, strict=True)]
            crops = [self._around(points, crop, self._angle(points, crop)) for points, crop in around]
            made = self.once(crops)
        if self.metadata.crop.align == "eyes":
            return made
        last = dict(enumerate(crops))
        for _ in range(UPRIGHT_PASSES):
            angles = {index: self._angle(made[index].points, crop) for index, crop in last.items()}
            lying = [(index, angle) for index, angle in angles.items() if angle != last[index].angle]
            last = {index: self._around(made[index].points, last[index], angle) for index, angle in lying}
            for index, face in zip(last, self.once(list(last.values())), strict=True):
                made[index] = replace(face, box=made[index].box)
        return made

    def _angle(self, points: NDArray[np.float32], crop: Crop) -> float:
        """Degrees for a crop around points that this one showed: its own, where the eyes' line is near level in it."""
        angle = eye_angle(points, self.metadata.scheme)
        near = abs((angle - crop.angle + 180) % 360 - 180) <= self.upright
        return crop.angle if near and self.metadata.crop.align != "eyes" else angle

    def _around(self, points: NDArray[np.float32], crop: Crop, angle: float) -> Crop:
        """The crop of the same picture around points that this one showed, turned back by `angle` degrees; this one
        where they cannot be of a face."""
        try:
            plain = not angle or self.metadata.crop.align == "eyes"
            box = from_landmarks(points) if plain else turned(points, angle)
        except Rejected:
            return crop
        return Crop(crop.picture, box, angle)

    def _faces(self, said: Output, matrices: Sequence[Matrix], boxes: Sequence[Box]) -> list[Face]:
        """What the network said of crops that `matrices` made, as faces in their pictures."""
        size, faces = self.metadata.crop.size, []
        trust = np.ones(said.points.shape[:2], np.float32)
        if said.log_sigma is not None:
            trust = confidence(said.log_sigma, self.metadata.sigma_fit)
        for index, (matrix, box) in enumerate(zip(matrices, boxes, strict=True)):
            back = inverse(matrix)

            def in_picture(points: NDArray[np.float32], back: Matrix = back) -> NDArray[np.float32]:
                return transform(from_unit(points, size), back).astype(np.float32)

            seen = None if said.visibility is None else said.visibility[index]
            dense = None if said.dense is None else in_picture(said.dense[index])
            unsure = None if said.log_sigma is None else said.log_sigma[index]
            points = in_picture(said.points[index])
            faces.append(Face(points, trust[index], box, self.metadata.scheme, seen, dense, unsure))
        return faces
