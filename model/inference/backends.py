"""What runs a trained network: torch for a checkpoint, onnxruntime for an ONNX file. Above this file nobody asks which.

Both take crops as the training saw them, uint8 (N, size, size, channels), and give points in the unit crop. How a crop
is made (`ModelMetadata`) travels inside the file: in the checkpoint, or as one JSON entry of the ONNX metadata.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.config import from_stored, to_dict
from fakeit.pipelines.dense_points import dense_mirror
from fakeit.pipelines.errors import FakeitError, one_line
from fakeit.pipelines.faces.crop import CropConfig
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.landmarks import scheme
from fakeit.pipelines.machine.extras import is_installed, remedy

if TYPE_CHECKING:
    from torch import Tensor

    from fakeit.model.networks import LandmarkNetwork
    from fakeit.model.networks.network import Prediction

METADATA_KEY = "fakeit"
FORMAT = 1


NEAR = 0.03  # confidence is the chance that a point lies within this share of the crop's side


@dataclass(frozen=True)
class SigmaFit:
    """What makes a network's confidence true of faces it was not trained on: its σ becomes √((scale·σ)² + floor²), the
    floor being what no network can see, such as the labels' own scatter. `evaluate --fit-confidence` fits it."""

    scale: float = 1.0
    floor: float = 0.0


AS_TOLD = SigmaFit()


class Output(NamedTuple):
    """What a network says about N crops; what it does not give is None.

    Attributes:
        points: (N, K, 2) float32 in the unit crop, (0, 0) its upper left corner, (1, 1) its lower right.
        log_sigma: (N, K) float32, the natural logarithm of each point's standard deviation there.
        visibility: (N, K) float32, the chance of each point's being visible.
        dense: (N, 400, 2) float32 unit crop, the places of fakeit.pipelines.dense_points.
    """

    points: NDArray[np.float32]
    log_sigma: NDArray[np.float32] | None = None
    visibility: NDArray[np.float32] | None = None
    dense: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class ModelMetadata:
    """All that a network's user must know of it.

    Attributes:
        scheme: the numbering of its points.
        crop: how its crops are made.
        network: the network's registered name, for reports.
        precision: "float32", "float16" or "int8".
        sigma: whether the network gives log σ (unit crop) for each point beside the points.
        sigma_fit: what makes its confidence true on held-back renders.
        visibility, dense: whether it gives each point's visibility, and the dense points.
        version: of this description.
    """

    scheme: str
    crop: CropConfig
    network: str = ""
    precision: str = "float32"
    sigma: bool = False
    visibility: bool = False
    dense: bool = False
    sigma_fit: SigmaFit = AS_TOLD
    version: int = FORMAT

    RENAMED: ClassVar[dict[str, None]] = {"normalisation": None}  # was always the same

    def to_json(self) -> str:
        return json.dumps(to_dict(self))


def metadata_from_json(text: str, where: str) -> ModelMetadata:
    """Raises FakeitError naming `where` and what is wrong with the description."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise FakeitError(f"{where}: its '{METADATA_KEY}' metadata is not JSON ({error})") from error
    version = values.get("version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise FakeitError(f"{where}: written by a newer fakeit (format {version}, this one reads {FORMAT})")
    metadata = from_stored(values, ModelMetadata, f"{where}: metadata")
    scheme(metadata.scheme)  # raises for an unknown one
    return metadata


def write_metadata(path: Path, metadata: ModelMetadata) -> None:
    """Writes what a model's user must know of it into its ONNX file, whole or not at all; needs the package onnx."""
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    model.producer_name = "fakeit"
    with write_atomically(str(path)) as file:
        file.write(model.SerializeToString())


class Backend(Protocol):
    """A network that is ready to run."""

    metadata: ModelMetadata

    def run(self, crops: NDArray[np.uint8]) -> Output:
        """Runs the network.

        Args:
            crops: (N, size, size, channels) uint8, made as `metadata.crop` says; any N ≥ 1, any memory layout.

        """


def confidence(log_sigma: NDArray[np.float32], fit: SigmaFit = AS_TOLD) -> NDArray[np.float32]:
    """log σ (…,) of a round Gaussian in the unit crop → the chance of lying within NEAR of its centre."""
    sigma = np.hypot(fit.scale * np.exp(np.clip(log_sigma, -12, 6)), fit.floor)
    return (1 - np.exp(-0.5 * (NEAR / sigma) ** 2)).astype(np.float32)


def run_mirrored(backend: Backend, crops: NDArray[np.uint8]) -> Output:
    """What a network says about the mirrored crops, (N, size, size, channels) uint8 as they are, brought back: points
    exchanged with their mirror pairs."""
    order = list(scheme(backend.metadata.scheme).flip)
    mirror, shift = np.array([-1, 1], np.float32), np.array([1, 0], np.float32)
    said = backend.run(np.ascontiguousarray(crops[:, :, ::-1]))
    return Output(
        said.points[:, order] * mirror + shift,
        None if said.log_sigma is None else said.log_sigma[:, order],
        None if said.visibility is None else said.visibility[:, order],
        None if said.dense is None else said.dense[:, dense_mirror()] * mirror + shift,
    )


class Mirrored:
    """A network that is shown everything mirrored."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.metadata = backend, backend.metadata

    def run(self, crops: NDArray[np.uint8]) -> Output:
        return run_mirrored(self.backend, crops)


class OnnxBackend:
    """An ONNX file in onnxruntime."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own without a common base
            reason = one_line(error, 160)
            raise FakeitError(f"model {path}: not an ONNX file that onnxruntime reads ({reason})") from error
        found = self.session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in found:
            raise FakeitError(f"model {path}: an ONNX file without '{METADATA_KEY}' metadata; jobs/export.py writes it")
        self.metadata = metadata_from_json(found[METADATA_KEY], f"model {path}")
        asked = self.session.get_inputs()[0]
        self._input, self._planes = asked.name, asked.type != "tensor(uint8)"  # jobs/export.py --layout nchw
        self._outputs = [output.name for output in self.session.get_outputs()]
        self._count = scheme(self.metadata.scheme).count

    def run(self, crops: NDArray[np.uint8]) -> Output:
        given = crops.transpose(0, 3, 1, 2).astype(np.float32) if self._planes else crops
        said = self.session.run(None, {self._input: np.ascontiguousarray(given)})
        found = dict(zip(self._outputs, (np.asarray(values, np.float32) for values in said), strict=True))
        return Output(
            found["points"].reshape(len(crops), self._count, 2),
            **{name: found.get(name) for name in Output._fields[1:]},
        )


class TorchBackend:
    """A checkpoint of ours in torch, on the CPU or a GPU."""

    def __init__(self, path: Path, threads: int = 1, device: str = "cpu") -> None:
        import torch

        torch.set_num_threads(threads)
        self.network, self.metadata = load_network(path)
        try:
            self.device = torch.device(device)
            self.network.eval().to(self.device)
        except (RuntimeError, AssertionError) as error:  # the latter where torch was built without it
            raise FakeitError(f"device {device}: torch does not get there ({one_line(error, 160)})") from error

    def run(self, crops: NDArray[np.uint8]) -> Output:
        import torch

        with torch.inference_mode():
            made = as_outputs(self.network(torch.from_numpy(np.ascontiguousarray(crops)).to(self.device)))
        return Output(**{name: values.float().cpu().numpy() for name, values in made.items()})


def as_outputs(made: Prediction) -> dict[str, Tensor]:
    """What a network gave, by the names of `Output`; no more than it has."""
    seen = None if made.visibility is None else made.visibility.sigmoid()
    named = {"points": made.points, "log_sigma": made.log_sigma, "visibility": seen, "dense": made.dense}
    return {name: values for name, values in named.items() if values is not None}


def load_network(path: str | Path) -> tuple[LandmarkNetwork, ModelMetadata]:
    """A checkpoint's network, ready to predict, and its metadata; or an ONNX file's that can be trained on, by its name
    too. Raises FakeitError when it is neither."""
    from fakeit.model.tracking import catalogue
    from fakeit.model.training import checkpoint

    stored, file = checkpoint.load(path), catalogue.locate(path)
    scheme(stored.scheme)
    network = stored.build()
    if file.suffix == ".onnx":
        return network, OnnxBackend(file).metadata
    return network, describe(network, stored.scheme, stored.crop)


def describe(network: LandmarkNetwork, scheme_name: str, crop: CropConfig) -> ModelMetadata:
    """The metadata of a network for points of `scheme_name` on crops made as `crop` says."""
    config = network.config
    return ModelMetadata(
        scheme_name, crop, config.name, sigma=config.sigma, visibility=config.visibility, dense=config.dense_modes > 0
    )


def open_backend(path: str | Path, threads: int = 1, device: str = "cpu") -> Backend:
    """The network in a file: `.onnx`, or a checkpoint of training.

    Raises:
        FakeitError: no such file, not a model, or no such device.
    """
    file = Path(path)
    if not file.is_file():
        raise FakeitError(f"model {file}: no such file")
    if file.suffix.lower() == ".onnx":
        if device != "cpu":
            why = "is an ONNX file, which runs on the CPU here"
            raise FakeitError(f"device {device}: {file.name} {why}; a checkpoint (.pt) runs on {device}")
        return OnnxBackend(file, threads)
    if not is_installed("torch"):
        raise FakeitError(f"model {file}: a checkpoint needs torch ({remedy(['torch'])}); an .onnx of it does not")
    return TorchBackend(file, threads, device)
