"""Do the installed versions work together? Asked at the start of every job, answered from package metadata alone.

The ranges come from measurements (docs/LOG.md tells of them), not from the packages' own declarations, which allow
combinations that lose rows or do not import.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

from pipelines.errors import FakeitError

# package → (versions that work, why others do not)
WORKING: dict[str, tuple[str, str]] = {
    "numpy": (">=1.26,<2", "petastorm 0.12.1 and OpenCV 4.11 need numpy 1"),
    "pyarrow": (">=14,<15", "petastorm needs the Parquet API that pyarrow 15 removed"),
    "petastorm": ("==0.12.1", "0.13.1 loses rows silently in its default thread pool"),
}


def check() -> None:
    """Raises FakeitError naming the first package of a version that does not work here, and the remedy.

    A package that is absent is no error: a GPU machine trains without Spark, an executor preprocesses without torch.
    """
    for package, (works, reason) in WORKING.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        if found not in SpecifierSet(works):
            raise FakeitError(f"{package} {found} is installed, {works} works ({reason}); run `make setup`")
