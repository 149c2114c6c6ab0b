"""What can be picked on the page: models, and the numberings of points that each of them has an adapter for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fakeit.model.inference.adapter import stored_names
from fakeit.model.inference.landmarker import BOX
from fakeit.model.tracking import model_registry
from fakeit.pipelines.errors import FakeitError

THE_BOX = "the model in the box"
OWN_POINTS = "the model's own"


def known_models(places: Sequence[str]) -> dict[str, str]:
    """Title → file. The box, every checkpoint called best.pt and ONNX file in `places`, and for a place `models:/NAME`
    every version that MLflow's registry holds under the name, champion and challenger by alias.

    Raises:
        FakeitError: there is none at all, no such place, or no such name in the registry.
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
        if not place.exists():
            raise FakeitError(f"--models {name}: no such file or folder")
        files = [place] if place.is_file() else sorted([*place.rglob("best.pt"), *place.rglob("*.onnx")])
        models |= {str(f.relative_to(place) if f != place else f): str(f) for f in files if f != BOX}
    if not models:
        raise FakeitError(f"no model to show: {BOX} is missing and {', '.join(places) or 'no --models'} holds none")
    return models


def adapters(model: str) -> list[str]:
    """The numberings that a model's points can be turned into, its own first."""
    return [OWN_POINTS, *(() if model_registry.is_registered(model) else stored_names(model))]
