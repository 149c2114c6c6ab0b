"""Facial landmarks learnt from synthetic faces. The one importable name: `from fakeit import Landmarker`.

`fakeit.pipelines`, `fakeit.model` and `fakeit.jobs` are the folders of those names beside this one (links here, real
folders in a wheel), so that nothing of this project meets a `model.py` of the user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeit.model.inference.landmarker import Landmarker, LandmarkerConfig
    from fakeit.model.inference.results import Face

__version__ = "0.1.0"  # the one place; a release's tag says the same
__all__ = ["Face", "Landmarker", "LandmarkerConfig"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: training on many machines needs none of it.
    if name in __all__:
        from fakeit.model.inference import landmarker

        return getattr(landmarker, name)
    raise AttributeError(f"module 'fakeit' has no attribute '{name}'")
