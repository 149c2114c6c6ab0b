"""What `Landmarker` hands back: the faces of a picture, a list that also turns into what other programs read.

faces = landmarker("me.jpg")
faces[0].points                      # (K, 2) float32, pixels
faces.draw("me.points.jpg")
faces.to_pandas(), faces.to_numpy(), faces.to_json(), faces.to_coco(), faces.to_pts("me.pts"), faces.poses()
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.head_pose import HeadPose, head_pose
from fakeit.model.inference.results import Face, ImageResult, draw_faces
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.machine.extras import is_installed

if TYPE_CHECKING:
    import pandas


class Faces(list[Face]):
    """The faces of one picture or video frame, the most prominent first.

    Attributes:
        image: the picture's name, "" for an array.
        pixels: (H, W, 3) uint8 RGB, as they were read.
        scheme: the numbering of the points.
        seconds: of a video's frame since its start; else 0.
    """

    def __init__(
        self, faces: Iterable[Face], pixels: NDArray[np.uint8], scheme_name: str, image: str = "", seconds: float = 0.0
    ) -> None:
        super().__init__(faces)
        self.pixels, self.scheme, self.image, self.seconds = pixels, scheme_name, image, seconds

    @property
    def result(self) -> ImageResult:
        """The same without pixels, as the writers of files take it."""
        return ImageResult(self.image, list(self), self.pixels.shape[1], self.pixels.shape[0])

    def to_numpy(self) -> NDArray[np.float32]:
        """All points, (faces, K, 2) float32, source pixels."""
        return np.array([face.points for face in self], np.float32).reshape(-1, scheme(self.scheme).count, 2)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a point: image, face, index, name, x, y, confidence. Needs pandas (which the base does not bring)."""
        if not is_installed("pandas"):
            raise FakeitError("to_pandas() needs pandas: pip install pandas")
        import pandas

        names = scheme(self.scheme).names
        rows = [
            (self.image, number, index, names[index], float(x), float(y), float(face.confidence[index]))
            for number, face in enumerate(self)
            for index, (x, y) in enumerate(face.points)
        ]
        return pandas.DataFrame(rows, columns=["image", "face", "point", "name", "x", "y", "confidence"])

    def to_json(self) -> str:
        """As `fakeit predict --output x.json` writes one picture."""
        from fakeit.model.inference.output_formats import as_text

        return as_text([self.result], "json", self.scheme)

    def to_coco(self) -> dict[str, Any]:
        """COCO keypoints: images, annotations, categories."""
        from fakeit.model.inference.output_formats import as_text

        return dict(json.loads(as_text([self.result], "coco", self.scheme)))

    def to_pts(self, path: str | Path, face: int = 0) -> None:
        """Writes one face's points as iBUG's `.pts`, which counts pixels from 1."""
        from fakeit.model.inference.output_formats import as_pts

        if not 0 <= face < len(self):
            raise FakeitError(f"{path}: there is no face {face}; {len(self)} were found")
        Path(path).write_text(as_pts(self[face]))

    def draw(self, path: str | Path | None = None) -> NDArray[np.uint8]:
        """The picture with points, red where the network is unsure: (H, W, 3) uint8 RGB; written to `path` if given."""
        from fakeit.pipelines.faces.draw import write_image

        drawn = draw_faces(self.pixels.copy(), self)
        if path is not None:
            write_image(str(path), drawn)
        return drawn

    def poses(self) -> list[HeadPose]:
        """Which way each head looks."""
        height, width = self.pixels.shape[:2]
        return [head_pose(face.points, face.scheme, width, height) for face in self]
