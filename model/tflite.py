"""An ONNX file of ours → TFLite (LiteRT), for telephones and boards that run nothing else.

onnx2tf does it, without TensorFlow; it wants Python 3.12 or newer, so this runs beside an installed wheel and not in
the classic environment. Weights that are stored in 16 bits are widened first. The file takes one crop at a time, uint8
(1, size, size, channels), and gives the ONNX file's outputs under their names. TFLite keeps no metadata of ours: scheme
and crop recipe lie beside it as JSON.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.backends import OnnxBackend
from fakeit.model.training.onnx_weights import widened
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.machine.extras import is_installed

NEEDED = {"onnx2tf": "onnx2tf", "ai_edge_litert": "ai-edge-litert"}  # module → package
PARITY = 1e-3  # crop pixels, at most; 7e-5 was seen


@dataclass(frozen=True)
class Converted:
    """What was written, and how far its points lie from the ONNX file's, crop pixels, at most and on average."""

    path: Path
    bytes: int
    parity: float
    mean: float


def to_tflite(source: Path, target: Path) -> Converted:
    """Writes `target` and, beside it, `target`.json with the model's metadata.

    Raises:
        FakeitError: the converter or the runtime is not installed, or the points are not the ONNX file's.
    """
    lacking = [package for module, package in NEEDED.items() if not is_installed(module)]
    if lacking:
        old = "; it needs Python 3.12 or newer" if sys.version_info < (3, 12) else ""
        raise FakeitError(f"TFLite needs {' and '.join(lacking)}: pip install {' '.join(lacking)}{old}")
    backend = OnnxBackend(source)
    crop = backend.metadata.crop
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wide = Path(folder, source.name)
        widened(source, wide)
        made = _convert(wide, Path(folder))
        shape = (8, crop.size, crop.size, crop.channels)
        crops = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        apart = np.linalg.norm(run(made, crops) - backend.run(crops)[0], axis=2) * crop.size
        if not apart.max() <= PARITY:  # "not at most" refuses NaN too
            raise FakeitError(f"{target}: {apart.max():.1e} pixels from {source}'s points, at most {PARITY} may be")
        target.with_name(f"{target.name}.json").write_text(backend.metadata.to_json() + "\n", encoding="utf-8")
        made.replace(target)
    return Converted(target, target.stat().st_size, float(apart.max()), float(apart.mean()))


def run(path: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Points (N, K, 2) of crops (N, size, size, channels), one crop at a time, as a telephone would."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    taken = interpreter.get_input_details()[0]["index"]
    given = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    points = []
    for crop in crops:
        interpreter.set_tensor(taken, crop[None])
        interpreter.invoke()
        points.append(interpreter.get_tensor(given["points"])[0])
    return np.stack(points)


def _convert(source: Path, folder: Path) -> Path:
    """onnx2tf's float32 file; its bars and notes are kept back unless it fails."""
    import onnx2tf

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            onnx2tf.convert(
                input_onnx_file_path=str(source),
                output_folder_path=str(folder),
                keep_shape_absolutely_input_names=["crops"],
                copy_onnx_input_output_names_to_tflite=True,
                batch_size=1,
                non_verbose=True,
            )
    except (Exception, SystemExit) as error:  # it leaves by sys.exit where it cannot go on
        last = " ".join(said.getvalue().split())[-300:]
        raise FakeitError(f"onnx2tf cannot convert {source}: {error}; its last words: {last}") from error
    made = sorted(folder.glob("*_float32.tflite"))
    if not made:
        raise FakeitError(f"onnx2tf wrote no float32 file of {source}: {' '.join(said.getvalue().split())[-300:]}")
    return made[0]
