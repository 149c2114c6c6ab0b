"""A trained network → ONNX: one file that carries the network, its crop recipe and its scheme, and runs without torch.

float32 gives torch's points to 1e-4 pixels and its log σ to 1e-3, which is checked before the file is written, in any
layout. float16 stores the weights in 16 bits and goes on computing in 32: half the file, as fast. int8 is static
quantisation (`quantise.py`), its ranges calibrated on crops of a dataset and judged on others: twice as fast. Any
number of crops at once.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fakeit.model.data.pixel_ops import displayable
from fakeit.model.inference.backends import ModelMetadata, OnnxBackend, as_outputs, write_metadata
from fakeit.model.networks import LandmarkNetwork
from fakeit.model.quantise import to_int8
from fakeit.model.training.onnx_weights import halved
from fakeit.pipelines.errors import FakeitError

Precision = Literal["float32", "float16", "int8"]
Layout = Literal["nhwc", "nchw"]
OPSET = 17  # the newest that onnxruntime and OpenCV 4.11 both read
PARITY = 1e-4  # crop pixels, float32, at most
ROUGH = {"float32": 0.01, "float16": 0.001, "int8": 0.01}  # of the crop's side, on average: beyond it are other points
SIGMA_PARITY, SIGMA_ROUGH = 1e-3, 0.1  # likewise of log σ: float32 at most, others on average (a tenth of σ)


@dataclass(frozen=True)
class Exported:
    """What was written: its file, its size, how far its points lie from torch's in crop pixels, at most and on average
    over the crops, and how far its log σ, on average (0 where it has none)."""

    path: Path
    bytes: int
    parity: float
    mean: float
    sigma: float = 0.0


class _Flat(nn.Module):
    """The network with plain outputs, as `as_outputs` has them. `nchw`: float (N, C, H, W) pixels in instead, as
    OpenCV's blobs are."""

    def __init__(self, network: LandmarkNetwork, nchw: bool) -> None:
        super().__init__()
        self.network, self.nchw = network, nchw

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        pixels = crops if self.nchw else crops.permute(0, 3, 1, 2).float()
        return tuple(as_outputs(self.network(pixels)).values())


def export(
    network: LandmarkNetwork,
    metadata: ModelMetadata,
    path: str | Path,
    precision: Precision = "float32",
    crops: NDArray[np.uint8] | None = None,
    layout: Layout = "nhwc",
    calibration: NDArray[np.uint8] | None = None,
) -> Exported:
    """Writes an ONNX file.

    Args:
        network: trained; is put into eval mode.
        metadata: goes into the metadata.
        path: of the file; its parity with torch is checked first, so a bad one is never there.
        precision: of the stored weights (and, in int8, of activations).
        crops: (N, size, size, channels) to check parity on; None: noise (not for int8).
        layout: "nhwc" takes uint8 (N, H, W, C); "nchw" float32 (N, C, H, W), as OpenCV's dnn wants it.
        calibration: other crops, for int8's ranges; None: every second one of `crops`, which then are not judged on.

    Raises:
        FakeitError: parity is worse than PARITY at float32 or ROUGH otherwise, or int8 is asked for without crops.
    """
    nchw = layout == "nchw"
    if precision == "int8":
        if nchw:
            raise FakeitError("precision int8 has no layout nchw, whose input is float; nhwc takes pixels as they are")
        if crops is None or (calibration is None and len(crops) < 2):
            raise FakeitError("precision int8 needs crops of a dataset (--dataset): for its ranges, and to judge it")
        if calibration is None:
            calibration, crops = crops[::2], crops[1::2]
    network = network.eval().cpu().float()
    size, channels = metadata.crop.size, metadata.crop.channels
    if crops is None:
        crops = np.random.default_rng(0).integers(0, 256, (8, size, size, channels), dtype=np.uint8)
    sample = torch.from_numpy(np.ascontiguousarray(crops[:2]))
    with torch.no_grad():
        names = list(as_outputs(network(sample)))
    said = {name: name in names for name in ("log_sigma", "visibility", "dense")}
    metadata = replace(
        metadata, precision=precision, sigma=said["log_sigma"], visibility=said["visibility"], dense=said["dense"]
    )
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        plain, made = Path(folder, "float32.onnx"), Path(folder, "made.onnx")
        _trace(_Flat(network, nchw).eval(), sample, plain, names, nchw)
        convert = {"float32": _keep, "float16": _to_float16, "int8": to_int8}[precision]
        convert(plain, made, calibration if calibration is not None else crops)
        write_metadata(made, metadata)
        exported = _judged(network, made, crops[:256], precision, target)
        made.replace(target)
    return exported


def _judged(network: LandmarkNetwork, made: Path, crops: NDArray[np.uint8], precision: str, target: Path) -> Exported:
    """Holds a file against the network that it was made of. Raises FakeitError where it is another one."""
    apart, sigma = _apart(network, made, crops)
    parity, mean, unsure = float(apart.max()), float(apart.mean()), float(sigma.mean())
    if precision == "float32":  # "not at most" refuses NaN too
        if not parity <= PARITY:
            raise FakeitError(f"export {target}: {parity:.1e} pixels from torch's points, at most {PARITY} may be")
        if not float(sigma.max()) <= SIGMA_PARITY:
            raise FakeitError(f"export {target}: log σ is {sigma.max():.1e} off torch's, at most {SIGMA_PARITY} may be")
    rough = ROUGH[precision] * network.size
    if not mean <= rough:
        raise FakeitError(
            f"export {target}: at {precision} the points lie {mean:.2f} of {network.size} pixels from torch's on "
            f"average, {rough:.2f} may be; a network whose activations explode on some crops has too wide ranges: "
            f"train it on with train.freeze_norms=0"
        )
    if not unsure <= SIGMA_ROUGH:
        raise FakeitError(
            f"export {target}: at {precision} log σ is {unsure:.2f} from torch's on average, {SIGMA_ROUGH} may be"
        )
    return Exported(target, made.stat().st_size, parity, mean, unsure)


def _trace(module: nn.Module, crops: Tensor, path: Path, names: list[str], nchw: bool) -> None:
    sample = crops.permute(0, 3, 1, 2).float() if nchw else crops
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter needs a package that we do not
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # crops have one size; only their number varies
        torch.onnx.export(
            module,
            (sample,),
            str(path),
            input_names=["crops"],
            output_names=names,
            dynamic_axes={name: {0: "faces"} for name in ["crops", *names]},
            opset_version=OPSET,
            dynamo=False,
        )


def _keep(plain: Path, made: Path, crops: NDArray[np.uint8]) -> None:
    plain.replace(made)


def _to_float16(plain: Path, made: Path, crops: NDArray[np.uint8]) -> None:
    import onnx

    model = onnx.load(str(plain))
    halved(model)
    onnx.save(model, str(made))


def _apart(
    network: LandmarkNetwork, path: Path, crops: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distances between torch's points and the file's, crop pixels, and between their log σ (zeros where there is
    none); one crop alone is tried as well."""
    backend, apart, unsure = OnnxBackend(path), [], []
    for batch in (crops[:1], *(crops[i : i + 32] for i in range(0, len(crops), 32))):
        with torch.no_grad():
            wanted = network(torch.from_numpy(np.ascontiguousarray(batch)))
        points, sigma = backend.run(batch)[:2]
        apart.append(np.linalg.norm(wanted.points.numpy() - points, axis=2) * network.size)
        given = np.zeros_like(apart[-1]) if sigma is None else sigma
        unsure.append(np.abs((0 if wanted.log_sigma is None else wanted.log_sigma.numpy()) - given))
    return np.concatenate(apart), np.concatenate(unsure)


def export_beside(checkpoint: Path, dataset: str) -> Path:
    """A checkpoint as a float32 ONNX file beside it, held against it on crops of its dataset."""
    from fakeit.model.inference.backends import load_network

    network, metadata = load_network(checkpoint)
    return export(network, metadata, checkpoint.with_suffix(".onnx"), crops=sample_crops(dataset, 64, metadata)).path


def sample_crops(
    dataset: str, count: int, metadata: ModelMetadata, splits: Sequence[str] = ("train", "val", "test")
) -> NDArray[np.uint8]:
    """`count` crops (N, size, size, channels) of the first of `splits` that a dataset has, spread over its shards, cut
    as the network takes them where the stored ones are roomier.

    Raises:
        FakeitError: the dataset's crops are grey and the network's are not, or are aligned otherwise, or it has none.
    """
    from fakeit.model.data.batch_augmentation import Augmenter
    from fakeit.model.data.config import InputConfig
    from fakeit.pipelines.files.storage import join
    from fakeit.pipelines.landmarks import scheme
    from fakeit.pipelines.store import manifest
    from fakeit.pipelines.store.shards import read_shard

    found, crop = manifest.load(dataset), metadata.crop
    wanted = InputConfig(crop.size, crop.margin, crop.colour).crop(found.crop)
    if wanted != crop:
        raise FakeitError(f"dataset {dataset}: its crops are {found.crop}, of which the model's {crop} cannot be cut")
    shards = next((of for split in splits if (of := [s for s in found.of(split) if s.rows])), [])
    if not shards or count < 1:
        raise FakeitError(f"dataset {dataset}: no crops to take ({count} asked for) of {', '.join(splits)}")
    each = max(1, -(-count // len(shards)))
    parts = [read_shard(join(dataset, s.path), found.shape)["image"][:each] for s in shards[: -(-count // each)]]
    stored = np.ascontiguousarray(np.concatenate(parts)[:count])
    if wanted == found.crop:
        return stored
    cut = Augmenter(found.crop, wanted, scheme(found.scheme), None, 0, torch.device("cpu"))
    pixels, _, _ = cut(torch.from_numpy(stored), torch.zeros(len(stored), scheme(found.scheme).count, 2))
    return displayable(pixels).numpy()
