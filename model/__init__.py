"""Networks, their training and their use. `from model import Landmarker` is the door for a user of a trained one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.inference import Face, Landmarker, LandmarkerConfig

__all__ = ["Face", "Landmarker", "LandmarkerConfig"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: training on many machines needs none of it.
    if name in __all__:
        from model import inference

        return getattr(inference, name)
    raise AttributeError(f"module 'model' has no attribute '{name}'")
