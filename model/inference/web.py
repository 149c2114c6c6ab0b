"""The web demo's work, apart from its page: a picture and a choice in, the drawn picture and a line on timing out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakeit.model.inference.landmarker import BOX, Landmarker, LandmarkerConfig
from fakeit.model.inference.results import draw_faces
from fakeit.model.tracking import model_registry
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.faces import filters
from fakeit.pipelines.image_io import read_image
from fakeit.pipelines.landmarks import convert

THE_BOX = "the model in the box"
POINTS = "points"


def known_models(places: Sequence[str]) -> dict[str, str]:
    """What can be picked: title → file. The box, every checkpoint called best.pt and ONNX file in `places`, and for a
    place `models:/NAME` every version that MLflow's registry holds under the name, champion and challenger by alias.

    Raises:
        FakeitError: there is none at all, or no such name in the registry.
    """
    models = {THE_BOX: str(BOX)} if BOX.is_file() else {}
    for name in places:
        if model_registry.is_registered(name):
            found = model_registry.versions(name.removeprefix(model_registry.SCHEME))
            if not found:
                raise FakeitError(f"--models {name}: nothing is registered under this name")
            short = {place: place.removeprefix(model_registry.SCHEME) for place in found}
            models |= {f"{short[place]} ({about})": place for place, about in found.items()}
            continue
        place = Path(name)
        files = [place] if place.is_file() else sorted([*place.rglob("best.pt"), *place.rglob("*.onnx")])
        models |= {str(f.relative_to(place) if f != place else f): str(f) for f in files if f != BOX}
    if not models:
        raise FakeitError(f"no model to show: {BOX} is missing and {', '.join(places) or 'no --models'} holds none")
    return models


@lru_cache(maxsize=4)
def _landmarker(file: str, detector: str, adapter: str | None) -> Landmarker:
    landmarker = Landmarker.load(file, LandmarkerConfig(detector), adapter)
    landmarker.load_detector()  # not a picture's time
    return landmarker


def show(
    picture: str | None, file: str, detector: str, what: str = POINTS, adapter: str | None = None
) -> tuple[NDArray[np.uint8], str]:
    """Finds and draws the faces of an uploaded file.

    Args:
        picture: its path.
        file: of the model.
        detector: by name.
        what: "points", or a filter's name.
        adapter: by name, or None.

    Returns:
        The drawn picture, RGB, and a line: faces, and milliseconds of each stage.

    Raises:
        FakeitError: nothing uploaded, or the model does not load.
        Rejected: not a picture.
    """
    if not picture:
        raise FakeitError("choose a picture first, or take one with the camera")
    pixels = read_image(picture)
    landmarker = _landmarker(file, detector, adapter)
    start = time.perf_counter()
    boxes = landmarker.detect(pixels)
    found = time.perf_counter()
    faces = landmarker.predict_boxes(pixels, boxes)
    done = time.perf_counter()
    if what == POINTS:
        drawn = draw_faces(pixels, faces)
    else:
        drawn = pixels
        for face in faces:
            drawn = filters.apply_filter(what, drawn, convert(face.points, face.scheme, "ibug68"))
    detect_ms, fit_ms = 1000 * (found - start), 1000 * (done - found)
    each = f", {fit_ms / len(faces):.1f} ms a face for the points" if faces else ""
    count = f"{len(faces)} face{'s' * (len(faces) != 1)}" if faces else "no face found"
    return drawn, f"{count} in {pixels.shape[1]}×{pixels.shape[0]} pixels: {detect_ms:.0f} ms to find{each}"


def page(models: dict[str, str]) -> Any:
    """The page as gradio blocks."""
    import gradio

    def answer(picture: str | None, model: str, detector: str, what: str) -> tuple[Any, str]:
        try:
            return show(picture, models[model], detector, what)
        except (FakeitError, Rejected) as error:
            return None, f"⚠ {str(error).replace(picture or '?', 'the upload')}"

    with gradio.Blocks(title="Fakeit: facial landmarks", analytics_enabled=False) as blocks:
        gradio.Markdown("# Fakeit\nFacial landmarks learnt from synthetic faces. Pictures stay on this machine.")
        with gradio.Row():
            with gradio.Column():
                # A plain file: it reaches our own strict reader, whose messages say what is wrong with it.
                upload = gradio.File(label="A picture", type="filepath", elem_id="upload")
                camera = gradio.Image(label="… or the camera", sources=["webcam"], type="filepath", height=240)
                model = gradio.Dropdown(list(models), value=next(iter(models)), label="Model")
                detector = gradio.Radio(["mtcnn", "haar"], value="mtcnn", label="Face detector")
                what = gradio.Radio([POINTS, *filters.FILTERS], value=POINTS, label="Show")
            with gradio.Column():
                drawn = gradio.Image(label="Faces", type="numpy", format="png", elem_id="faces")
                line = gradio.Textbox(label="Found", elem_id="line", interactive=False)
        for source in (upload, camera):
            source.change(answer, [source, model, detector, what], [drawn, line], api_name=False)
        for choice in (model, detector, what):
            choice.change(answer, [upload, model, detector, what], [drawn, line], api_name=False)
        # One call by name, for programs and tests.
        gradio.Button("Find faces").click(answer, [upload, model, detector, what], [drawn, line], api_name="find")
    return blocks
