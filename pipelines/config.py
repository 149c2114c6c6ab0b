"""TOML files → frozen dataclasses, strictly: every key is known, every value has its type, every message names both.

The dataclasses stand beside what they configure; this file only fills them. A file may begin with
`include = "other.toml"` (relative to itself) and then says only what differs.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from fakeit.pipelines.errors import FakeitError

if sys.version_info >= (3, 11):  # noqa: UP036 - the base runs on 3.10
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def load(path: str | Path, cls: type[T], overrides: Sequence[str] = ()) -> T:
    """Reads a conf file.

    Args:
        path: a TOML file.
        cls: the frozen dataclass it fills.
        overrides: `dotted.key=value` strings that win over the file; values are TOML, or plain words.

    Raises:
        FakeitError: names the file, the key, what was found and what would be right.
    """
    values = _read(found_conf(path))
    for override in overrides:
        set_key(values, override)
    return from_dict(values, cls, str(path))


def found_conf(path: str | Path) -> Path:
    """`path`, or, where there is no such file, the one that comes along: `conf/train/demo.toml` works in any folder."""
    path = Path(path)
    brought = Path(__file__).resolve().parents[1] / path
    return brought if path.parts[:1] == ("conf",) and not path.exists() and brought.is_file() else path


def _read(path: Path, including: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in including:
        raise FakeitError(f"conf {path} includes itself, by way of {including[-1]}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        near = nearest(path.name, [p.name for p in path.parent.glob("*.toml")])
        raise FakeitError(f"conf {path}: no such file{near}") from error
    except (ValueError, RecursionError, OSError) as error:
        raise FakeitError(f"conf {path}: {error}") from error
    if "include" not in values:
        return values
    include = values.pop("include")
    if not isinstance(include, str):
        raise FakeitError(f"conf {path}: 'include' is {include!r}, expected the name of a file beside this one")
    return _merge(_read(path.parent / include, (*including, path.resolve())), values)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def key_values(said: Iterable[str]) -> dict[str, Any]:
    """What a list of `key=value` says, as `set_key` reads each."""
    values: dict[str, Any] = {}
    for each in said:
        set_key(values, each)
    return values


def set_key(values: dict[str, Any], override: str) -> None:
    """Sets what `dotted.key=value` says in nested tables; the value is TOML, or plain words. Raises FakeitError."""
    key, equals, text = override.partition("=")
    if not equals:
        raise FakeitError(f"override '{override}': expected key=value, as in train.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise FakeitError(f"override '{override}': '{parent}' is a value, not a table")
    values[last] = value


def from_dict(values: dict[str, Any], cls: type[T], where: str = "conf") -> T:
    """Plain values → dataclass, as `load` does; `where` begins the messages."""
    return _convert(values, cls, where, "")


def call(function: Callable[..., T], values: dict[str, Any], where: str) -> T:
    """`function(**values)`, its parameters checked by their types as a conf's keys are. Raises FakeitError."""
    return cast(T, _fill(values, function, where, ""))


def from_stored(values: dict[str, Any], cls: type[T], where: str) -> T:
    """As `from_dict`, for what earlier versions stored (checkpoints, ONNX metadata): keys that were renamed since
    (`RENAMED` of their dataclass: old name → new one, None where it is gone) are taken under their new names."""
    return from_dict(_renewed(values, cls), cls, where)


def _renewed(values: Any, cls: Any) -> Any:
    if get_origin(cls) is tuple and isinstance(values, list | tuple):
        return [_renewed(value, get_args(cls)[0]) for value in values]
    if get_origin(cls) in (Union, types.UnionType):
        options = [option for option in get_args(cls) if dataclasses.is_dataclass(option)]
        return _renewed(values, options[0]) if options else values
    if not (dataclasses.is_dataclass(cls) and isinstance(values, dict)):
        return values
    renamed, hints = getattr(cls, "RENAMED", {}), _hints(cls)
    current = {renamed.get(name, name): value for name, value in values.items()}
    return {name: _renewed(value, hints.get(name)) for name, value in current.items() if name is not None}


def to_dict(config: Any) -> Any:
    """A dataclass (nested) as plain dicts, lists and scalars, ready for JSON, a checkpoint or MLflow."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, list | tuple):
        return [to_dict(item) for item in config]
    if isinstance(config, dict):
        return {key: to_dict(item) for key, item in config.items()}
    return config


def digest(config: Any) -> str:
    """12 hex digits that name a conf's content."""
    return hashlib.sha256(json.dumps(to_dict(config), sort_keys=True).encode()).hexdigest()[:12]


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name nearest to `name`, or nothing where none is near."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""


def _fill(values: Any, cls: Any, where: str, key: str) -> Any:
    if not isinstance(values, dict):
        raise FakeitError(f"{where}: '{key}' is {values!r}, expected a table [{key}]")
    hints = _hints(cls)
    prefix = f"{key}." if key else ""
    removed = getattr(cls, "REMOVED", {})  # a key, or a key and its value as in TOML → why, and what instead
    for name in values:
        gone = next((said for said in (name, f"{name} = {values[name]!r}") if said in removed), None)
        if gone is not None:
            raise FakeitError(f"{where}: {prefix}{gone} was removed: {removed[gone]}")
        now = getattr(cls, "RENAMED", {}).get(name)
        if now is not None:
            raise FakeitError(f"{where}: key '{prefix}{name}' is now '{prefix}{now}'")
        if name not in hints:
            known = ", ".join(hints)
            raise FakeitError(f"{where}: unknown key '{prefix}{name}'{nearest(name, hints)} (known here: {known})")
    filled = {name: _convert(value, hints[name], where, prefix + name) for name, value in values.items()}
    for name, parameter in signature(cls).parameters.items():
        if parameter.default is parameter.empty and name not in filled:
            raise FakeitError(f"{where}: key '{prefix}{name}' is missing")
    try:
        return cls(**filled)
    except FakeitError as error:
        raise FakeitError(f"{where}: {error}") from error


def _hints(cls: Any) -> dict[str, Any]:
    """Field of a dataclass, or parameter of a function → its type."""
    known = get_type_hints(cls)
    return {name: known[name] for name in signature(cls).parameters}


def _convert(value: Any, hint: Any, where: str, key: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _fill(value, hint, where, key)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, where, key)
    if origin is Literal:
        if value in arguments:
            return value
        known = ", ".join(repr(a) for a in arguments)
        near = nearest(str(value), map(str, arguments))
        raise FakeitError(f"{where}: '{key}' is {value!r}, expected one of {known}{near}")
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is Ellipsis:
            return tuple(_convert(item, arguments[0], where, f"{key}[{i}]") for i, item in enumerate(value))
        if len(value) == len(arguments):
            pairs = zip(value, arguments, strict=True)
            return tuple(_convert(item, argument, where, f"{key}[{i}]") for i, (item, argument) in enumerate(pairs))
        raise FakeitError(f"{where}: '{key}' has {len(value)} values, expected {len(arguments)}")
    if origin is dict and isinstance(value, dict):
        return {k: _convert(v, arguments[1], where, f"{key}.{k}") for k, v in value.items()}
    return _convert_scalar(value, hint, where, key)


def _convert_union(value: Any, arguments: tuple[Any, ...], where: str, key: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    options = [a for a in arguments if a is not type(None)]
    for option in options[:-1]:
        try:
            return _convert(value, option, where, key)
        except FakeitError:
            continue
    return _convert(value, options[-1], where, key)


def _convert_scalar(value: Any, hint: Any, where: str, key: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > 10**300:
            raise FakeitError(
                f"{where}: '{key}' is a whole number of {len(str(abs(value)))} digits, expected a smaller one"
            )
        return float(value)
    plain = get_origin(hint) or hint
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        name = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
        wanted = name.get(plain.__name__, f"a {plain.__name__}")
        raise FakeitError(f"{where}: '{key}' is {value!r}, expected {wanted}")
    return value
