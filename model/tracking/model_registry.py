"""Networks by their name in MLflow's model registry: `models:/fakeit-landmarks@champion`, or `models:/NAME/VERSION`.

Comparisons register their best cells; each version's run holds the network as ONNX, crop recipe inside, which is what
is fetched. The store is MLFLOW_TRACKING_URI's, else `mlflow.db` in the working directory.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fakeit.model.tracking.mlflow_tracker import address, give_up_soon
from fakeit.model.tracking.trouble import in_words
from fakeit.pipelines.config import nearest
from fakeit.pipelines.errors import FakeitError, one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

SCHEME = "models:/"
NAME = "fakeit-landmarks"
FOLDER, FILE = "onnx", "landmarks.onnx"  # in a version's run


def is_registered(place: str | Path) -> bool:
    """Whether a model is named by its place in the registry."""
    return str(place).startswith(SCHEME)


def fetch(place: str) -> Path:
    """The ONNX file of a registered version, downloaded once.

    Args:
        place: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        FakeitError: no such name, alias or version, a version without a network of ours, or no answer.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one small file
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    asked = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", place)
    if not asked:
        raise FakeitError(f"model {place}: expected {SCHEME}NAME@ALIAS or {SCHEME}NAME/VERSION")
    name, alias, number = asked.groups()
    client = _client()
    try:
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        _check_absent(error)
        known = list(versions(name))
        there = f"registered are {', '.join(known)}{nearest(place, known)}" if known else f"no model '{name}' there"
        raise FakeitError(f"model {place}: not in {address()}; {there}") from error
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fakeit", "registry")
    kept = cache / f"{found.run_id}.onnx"
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        where = {"run_id": found.run_id, "artifact_path": f"{FOLDER}/{FILE}", "tracking_uri": address()}
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            try:
                Path(download_artifacts(**where, dst_path=folder)).replace(kept)
            except (MlflowException, OSError) as error:
                line = one_line(error, 160)
                raise FakeitError(
                    f"model {place}: version {found.version} holds no {FOLDER}/{FILE} ({line})"
                ) from error
    return kept


def versions(name: str = NAME) -> dict[str, str]:
    """What is registered under a name: `models:/NAME@ALIAS` (those without an alias by number) → a line about it.
    Raises FakeitError: the store does not answer."""
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        model = client.get_registered_model(name)
        found = client.search_model_versions(f"name = '{name}'")
    except MlflowException as error:
        _check_absent(error)
        return {}
    aliases = {str(version): alias for alias, version in (model.aliases or {}).items()}
    places = {}
    for version in sorted(found, key=lambda v: int(v.version)):
        alias = aliases.get(str(version.version))
        place = f"{SCHEME}{name}@{alias}" if alias else f"{SCHEME}{name}/{version.version}"
        about = ", ".join(f"{key} {value}" for key, value in sorted(version.tags.items()) if key != "dataset")
        places[place] = f"version {version.version}{', ' if about else ''}{about}"
    return places


def _check_absent(error: MlflowException) -> None:
    """Raises FakeitError where the store does not say that what was asked for is not there."""
    if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        raise FakeitError(in_words(address(), error)) from error


def _client() -> MlflowClient:
    """A client of the store. Raises FakeitError where a local one is not there (MLflow would make an empty one)."""
    from mlflow import MlflowClient

    give_up_soon()
    store = address()
    if store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).is_file():
        raise FakeitError(f"registry {store}: no such file; set MLFLOW_TRACKING_URI, or start where mlflow.db lies")
    return MlflowClient(tracking_uri=store)
