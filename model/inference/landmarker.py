"""A picture in, its faces out: the five-line API of a trained network.

    from fakeit import Landmarker
    landmarker = Landmarker.load()                  # or a checkpoint, or an .onnx file
    for face in landmarker("me.jpg"):
        print(face.box, face.points, face.confidence)

A detector finds boxes; a fitted map turns them into the boxes that training used (tight around the points); what is in
them is read by `crop_reader.py`, and a label adapter may say it in a benchmark's convention. A second pass can crop
again by the first pass's points, which helps where a detector's boxes scatter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fakeit.model.inference.adapter import Adapter, beside
from fakeit.model.inference.backends import Backend, ModelMetadata, Output, open_backend
from fakeit.model.inference.crop_reader import Crop, CropReader
from fakeit.model.inference.found import Faces
from fakeit.model.inference.results import Face
from fakeit.model.tracking import catalogue, model_registry
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces.box import Box, check_sides
from fakeit.pipelines.faces.box_fit import BoxFit, box_fit
from fakeit.pipelines.faces.crop import Picture
from fakeit.pipelines.faces.detect import detector
from fakeit.pipelines.faces.detector_names import DEFAULT
from fakeit.pipelines.faces.locate import most_prominent_first
from fakeit.pipelines.files.image_io import read_image

BOX = catalogue.the_box()
AnyPicture = NDArray[Any] | Image.Image | str | Path


@dataclass(frozen=True)
class LandmarkerConfig:
    """How faces are found and read.

    Attributes:
        detector: a name of `fakeit.pipelines.faces.detect`.
        refine: passes after the first, each cropped by the points before; at least 1 where the recipe turns crops by
            the eyes.
        flip: average with the mirrored crop's points; twice the time for a little accuracy.
        smallest_face: side of the smallest face that is looked for, as a share of the picture's shorter side; None: the
            detector's own (yunet and mtcnn 0.05, haar 0.1).
        detect_side: pictures are shrunk to this longer side before detection.
        upright: a face whose eyes' line is turned by more degrees in the picture is read again from a crop turned
            upright (`crop_reader.UPRIGHT_PASSES` times at most); 180: never.
    """

    detector: str = DEFAULT
    refine: int = 0
    flip: bool = False
    smallest_face: float | None = None
    detect_side: int = 960
    upright: float = 15.0

    def __post_init__(self) -> None:
        if self.refine < 0 or self.detect_side < 8:
            raise FakeitError(f"refine is {self.refine}, detect_side {self.detect_side}; at least 0 and 8 pixels")


class Landmarker:
    """Finds faces and their points. Not thread-safe: one per thread."""

    def __init__(
        self, backend: Backend, config: LandmarkerConfig | None = None, adapter: Adapter | None = None
    ) -> None:
        self._config = config or LandmarkerConfig()
        self.adapter = adapter
        self._reader = CropReader(backend, self._config.flip, self._config.upright)
        self._detector: Any = None
        if adapter and adapter.source != self.metadata.scheme:
            raise FakeitError(
                f"adapter '{adapter.name}' is for {adapter.source}, the model gives {self.metadata.scheme}"
            )

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        config: LandmarkerConfig | None = None,
        adapter: str | Path | None = None,
        threads: int = 1,
        device: str = "cpu",
    ) -> Landmarker:
        """A landmarker from a file.

        Args:
            path: a name of `fakeit models`, a training checkpoint, an ONNX file, or `models:/NAME@ALIAS` in MLflow's
                registry; None: the model in the box.
            config: detector and passes.
            adapter: a label adapter's file, or its name when it is stored beside the model.
            threads: CPU threads of the network.
            device: for checkpoints, "cpu" or "cuda".

        Raises:
            FakeitError: no such file, or not a model of ours.
        """
        file = model_file(path)
        if path is None and not file.is_file():
            raise FakeitError(f"the model in the box ({file}) is missing; name one with --model")
        return cls(open_backend(file, threads, device), config, beside(adapter, file) if adapter else None)

    @property
    def config(self) -> LandmarkerConfig:
        return self._config

    @property
    def backend(self) -> Backend:
        """The network that runs; for another one, make another landmarker of it."""
        return self._reader.backend

    @property
    def metadata(self) -> ModelMetadata:
        return self.backend.metadata

    @property
    def scheme(self) -> str:
        """The numbering of the points that come out."""
        return self.adapter.target if self.adapter else self.metadata.scheme

    def __call__(self, image: AnyPicture, boxes: Sequence[Box] | None = None) -> Faces:
        """The faces of one picture, the most prominent first.

        Args:
            image: uint8 RGB (H, W, 3), grey, RGBA or 16 bits a channel; a picture of Pillow's, as it lies; or a file's
                path, turned as its camera says.
            boxes: where the faces are, tight around their points, source pixels; None: the detector looks.

        Raises:
            Rejected: the file or the array is not a picture, or a box is none (`predict_boxes`).
        """
        name, pixels = _opened(image)
        found = self.predict_boxes(pixels, self.detect(pixels) if boxes is None else boxes)
        return Faces(found, pixels, self.scheme, name)

    def batch(self, images: Iterable[AnyPicture], size: int = 32) -> Iterator[Faces]:
        """The faces of many pictures, one `Faces` each, in order; `size` pictures go through the network at once.

        Raises:
            Rejected: a picture cannot be read, told when its turn comes; `fakeit predict` goes on instead.
            FakeitError: `size` is below 1.
        """
        if size < 1:
            raise FakeitError(f"batch: size is {size}; 1 or more pictures go through the network at once")
        waiting = iter(images)
        while block := list(islice(waiting, size)):
            pictures, refused = [], None
            for image in block:
                try:
                    pictures.append(_opened(image))
                except Rejected as error:
                    refused = error
                    break
            pixels = [picture for _, picture in pictures]
            boxes = [self.detect(picture) for picture in pixels]
            for (name, picture), found in zip(pictures, self.predict_many(pixels, boxes), strict=True):
                yield Faces(found, picture, self.scheme, name)
            if refused is not None:
                raise refused

    def video(self, place: str | Path | int, every: int = 15, smooth: bool = True) -> Iterator[Faces]:
        """The faces of a video file or a camera (its number), frame by frame, each followed from frame to frame.

        Args:
            place: a file, or a camera's number.
            every: frames from one detection to the next.
            smooth: steady points at rest (One-Euro filter).

        Raises:
            FakeitError: no video or camera there.
        """
        from fakeit.model.inference.face_tracker import FaceTracker, VideoConfig
        from fakeit.model.inference.video import VideoReader

        frames = VideoReader(place if isinstance(place, int) else str(place))
        tracker = FaceTracker(self, VideoConfig(every=every, smooth=smooth))
        name = f"camera{place}" if isinstance(place, int) else Path(place).name
        for index, (seconds, pixels) in enumerate(frames):
            yield Faces(tracker.step(pixels, seconds), pixels, self.scheme, f"{name}#{index:06d}", seconds)

    def detect(self, pixels: NDArray[np.uint8]) -> list[Box]:
        """Boxes as training used them, of all faces that the detector finds in (H, W, 3) RGB, most prominent first."""
        height, width = pixels.shape[:2]
        fit: BoxFit = box_fit(self.config.detector, self.metadata.scheme)
        boxes = [fit.apply(box) for box in self.detector_boxes(pixels)]
        return most_prominent_first(boxes, width, height)

    def load_detector(self) -> None:
        """Loads the detector, which else happens when it is first needed."""
        if self._detector is None:
            self._detector = detector(self.config.detector, self.config.smallest_face)

    def detector_boxes(self, pixels: NDArray[np.uint8]) -> list[Box]:
        """What the detector itself calls faces in (H, W, 3) RGB, source pixels."""
        height, width = pixels.shape[:2]
        if min(height, width) < 8:
            return []
        self.load_detector()
        shrink = min(1.0, self.config.detect_side / max(height, width))
        small = shrunk(pixels, shrink)
        scale_x, scale_y = width / small.shape[1], height / small.shape[0]
        found = [f.box for f in self._detector.detect(small)]
        return [Box(b.x * scale_x, b.y * scale_y, b.width * scale_x, b.height * scale_y) for b in found]

    def predict_boxes(self, pixels: NDArray[np.uint8], boxes: Sequence[Box], refine: int | None = None) -> list[Face]:
        """The points of the faces in known boxes.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            boxes: tight around the points, source pixels.
            refine: passes after the first, cropped by the points before; None: as configured.

        Raises:
            Rejected: a box that is not finite, or a side of it below 2 pixels.
            FakeitError: something else than a `Box`.
        """
        for number, box in enumerate(boxes):
            if not isinstance(box, Box):
                raise FakeitError(f"box {number} is {box!r}; expected fakeit.Box(x, y, width, height)")
            check_sides(box, f"box {number}")
        return self.predict_many([pixels], [boxes], refine)[0]

    def predict_many(
        self, pictures: Sequence[NDArray[np.uint8]], boxes: Sequence[Sequence[Box]], refine: int | None = None
    ) -> list[list[Face]]:
        """`predict_boxes` for several pictures: each pass takes the faces of all through the network at once."""
        return [[self.adapted(face) for face in faces] for faces in self.read(pictures, boxes, refine)]

    def read(
        self, pictures: Sequence[NDArray[np.uint8]], boxes: Sequence[Sequence[Box]], refine: int | None = None
    ) -> list[list[Face]]:
        """`predict_many` in the model's own scheme: no adapter yet."""
        passes = self.config.refine if refine is None else refine
        if refine is None and self.metadata.crop.align == "eyes":
            passes = max(passes, 1)
        return self._reader.read(pictures, boxes, passes)

    def follow(self, pixels: NDArray[np.uint8], faces: Sequence[Face]) -> list[Face]:
        """The faces of a video's next frame, each looked for where its points, in the model's own scheme, were in the
        frame before; in that scheme too."""
        return self._reader.follow(pixels, faces)

    def read_crops(self, picture: Picture, crops: Sequence[tuple[Box, float]]) -> list[Face]:
        """The faces of one pass over crops of boxes turned by degrees, in the model's own scheme: no adapter yet."""
        return self._reader.once([Crop(picture, box, angle) for box, angle in crops])

    def run_crops(self, crops: NDArray[np.uint8]) -> Output:
        """What the network says of crops (N, size, size, channels) uint8; the mean with the mirrored ones where the
        conf says `flip`."""
        return self._reader.run(crops)

    def adapted(self, face: Face) -> Face:
        """A face in the model's own scheme through the adapter, where there is one."""
        adapter = self.adapter
        if adapter is None:
            return face
        return replace(
            face,
            points=adapter.apply(face.points, face.log_sigma, face.dense),
            confidence=adapter.confidence(face.confidence, face.log_sigma),
            scheme=adapter.target,
            visibility=None if face.visibility is None else adapter.carried(face.visibility),
        )


def model_file(model: str | Path | None) -> Path:
    """Where a model lies that is named as for `Landmarker.load`. Raises FakeitError for a name that is unknown."""
    if model is not None and model_registry.is_registered(model):
        return model_registry.fetch(str(model))
    return catalogue.locate(model) if model else BOX


def _opened(image: AnyPicture) -> tuple[str, NDArray[np.uint8]]:
    """A picture's file name, "" for an array, and its pixels (H, W, 3). Raises Rejected."""
    if isinstance(image, str | Path):
        return Path(image).name, read_image(str(image))
    return "", as_pixels(image)


def shrunk(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """`pixels` resized by `scale` ≤ 1, averaging; never below one pixel."""
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def as_pixels(image: NDArray[Any] | Image.Image) -> NDArray[np.uint8]:
    """Any common array of a picture as (H, W, 3) uint8 RGB: grey is repeated, alpha dropped, 16 bits scaled to 8. Of
    Pillow's pictures the mode says what numbers mean: as arrays, palettes and inks are not told from colours.

    Raises:
        Rejected: another shape or dtype.
    """
    if isinstance(image, Image.Image) and image.mode[0] not in "IF":  # 16 bits and more are numbers as they stand
        image = np.asarray(image.convert("RGB"))
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise Rejected(f"an array of shape {pixels.shape} is not a picture; expected (H, W), (H, W, 1), (H, W, 3) or 4")
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise Rejected(f"an array of {pixels.dtype} is not a picture; expected uint8 or uint16")
    colours = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    return np.ascontiguousarray(colours)
