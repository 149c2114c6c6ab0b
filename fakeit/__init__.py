"""Facial landmarks learnt from synthetic faces. The one importable name: `from fakeit import Landmarker`.

`fakeit.pipelines`, `fakeit.model` and `fakeit.jobs` are the folders of those names beside this one (links here, real
folders in a wheel), so that nothing of this project meets a `model.py` of the user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeit.model.inference.found import Faces
    from fakeit.model.inference.head_pose import HeadPose
    from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
    from fakeit.model.inference.results import Face
    from fakeit.pipelines.faces.box import Box

__version__ = "0.3.0.dev0"  # the one place; how a release is cut: CONTRIBUTING.md
__all__ = ["Box", "Face", "Faces", "HeadPose", "Landmarker", "LandmarkerConfig"]
_PLACES = {
    "Box": "pipelines.faces.box",
    "Face": "model.inference.results",
    "Faces": "model.inference.found",
    "HeadPose": "model.inference.head_pose",
    "Landmarker": "model.inference.landmarker",
    "LandmarkerConfig": "model.inference.landmarker",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: training on many machines needs none of it.
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(f"fakeit.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'fakeit' has no attribute '{name}'")
