"""Conf files: what is filled, and what a user reads when something in one is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from fakeit.pipelines import config
from fakeit.pipelines.errors import FakeitError
from fakeit.pipelines.landmarks import scheme


@dataclass(frozen=True)
class Stage:
    epochs: int
    rate: float = 0.001


@dataclass(frozen=True)
class Optimiser:
    name: Literal["adam", "sgd"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and self.clip <= 0:
            raise FakeitError(f"optimiser.clip is {self.clip}; it must be above 0")


@dataclass(frozen=True)
class Train:
    batch: int = 64
    grey: bool = False
    title: str = ""
    optimiser: Optimiser = field(default_factory=Optimiser)
    stages: tuple[Stage, ...] = ()
    sizes: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def write(folder: Path, text: str, name: str = "train.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_everything_a_file_may_hold(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        batch = 8
        grey = true
        sizes = [2, 3, 5]
        options = {deep = {er = 1}}
        optimiser = {name = "sgd", betas = [1, 0.5], clip = 1}
        [[stages]]
        epochs = 3
        [[stages]]
        epochs = 4
        rate = 1
        """,
    )
    got = config.load(path, Train)
    assert got == Train(
        batch=8,
        grey=True,
        sizes=(2, 3, 5),
        options={"deep": {"er": 1}},
        optimiser=Optimiser("sgd", (1.0, 0.5), 1.0),
        stages=(Stage(3), Stage(4, 1.0)),
    )
    assert isinstance(got.optimiser.clip, float), "a whole number is taken where a float is expected"


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert config.load(write(tmp_path, ""), Train) == Train()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bacth = 1", ["unknown key 'bacth'", "did you mean 'batch'?"]),
        ("[optimiser]\nclipp = 1.0", ["unknown key 'optimiser.clipp'", "did you mean 'clip'?"]),
        ("batch = 1.5", ["'batch' is 1.5", "a whole number"]),
        ("batch = true", ["'batch' is True", "a whole number"]),
        ("batch = '8'", ["'batch' is '8'", "a whole number"]),
        ("grey = 1", ["'grey' is 1", "true or false"]),
        ("title = 7", ["'title' is 7", "text"]),
        ("optimiser = 3", ["'optimiser' is 3", "expected a table"]),
        ("optimiser.name = 'adm'", ["'optimiser.name' is 'adm'", "'adam', 'sgd'", "did you mean 'adam'?"]),
        ("optimiser.betas = [0.9]", ["'optimiser.betas' has 1 values, expected 2"]),
        ("optimiser.betas = [0.9, 'x']", ["'optimiser.betas[1]' is 'x'", "a number"]),
        ("optimiser.clip = -1.0", ["optimiser.clip is -1.0", "above 0"]),
        ("sizes = [1, 2.5]", ["'sizes[1]' is 2.5"]),
        ("sizes = 4", ["'sizes' is 4"]),
        ("stages = [{rate = 0.1}]", ["'stages[0].epochs' is missing"]),
        ("stages = [{epochs = 1, epoch = 2}]", ["unknown key 'stages[0].epoch'", "did you mean 'epochs'?"]),
        ("batch = \nsizes = [2]", ["line 1"]),
    ],
)
def test_a_mistake_is_named_with_file_key_and_remedy(tmp_path: Path, text: str, named: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FakeitError) as caught:
        config.load(path, Train)
    for part in [str(path), *named]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mark_of_the_byte_order_is_no_mistake(tmp_path: Path) -> None:
    """Windows' editor writes one; the answer was "Invalid statement (at line 1, column 1)"."""
    path = write(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbfbatch = 3\r\n")
    assert config.load(path, Train).batch == 3
    path.write_bytes(b'\xef\xbb\xbfname = "own"\r\npoints = ["a", "b"]\r\n')
    assert scheme(str(path)).names == ("a", "b")


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(FakeitError, match=r"no such file; did you mean 'train.toml'\?"):
        config.load(tmp_path / "trian.toml", Train)


def test_a_folder_is_no_conf_file(tmp_path: Path) -> None:
    with pytest.raises(FakeitError, match="directory"):
        config.load(tmp_path, Train)


def test_overrides_win_and_are_typed(tmp_path: Path) -> None:
    path = write(tmp_path, "batch = 8\n[optimiser]\nclip = 1.0")
    got = config.load(path, Train, ["batch=16", "optimiser.name=sgd", "title = a b", "options.x.y=[1, 2]", "grey=true"])
    assert got == Train(
        batch=16, grey=True, title="a b", optimiser=Optimiser("sgd", clip=1.0), options={"x": {"y": [1, 2]}}
    )


@pytest.mark.parametrize("override", ["batch", "batch.x=1", "bacth=1", "batch=many", "=1"])
def test_a_wrong_override_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(FakeitError):
        config.load(write(tmp_path, "batch = 8"), Train, [override])


def test_include_takes_a_base_and_says_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write(tmp_path / "base", "batch = 8\n[optimiser]\nname = 'sgd'\nclip = 1.0", "base.toml")
    path = write(tmp_path, "include = 'base/base.toml'\n[optimiser]\nclip = 2.0")
    assert config.load(path, Train) == Train(batch=8, optimiser=Optimiser("sgd", clip=2.0))


def test_include_in_a_circle_or_of_nothing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "include = 'other.toml'")
    write(tmp_path, "include = 'train.toml'", "other.toml")
    with pytest.raises(FakeitError, match="includes itself"):
        config.load(path, Train)
    with pytest.raises(FakeitError, match="include"):
        config.load(write(tmp_path, "include = 3"), Train)


def test_to_dict_comes_back_and_the_digest_follows_the_content() -> None:
    one = Train(batch=2, stages=(Stage(1),), sizes=(1, 2))
    assert config.from_dict(config.to_dict(one), Train) == one
    assert config.digest(one) == config.digest(Train(batch=2, stages=(Stage(1),), sizes=(1, 2)))
    assert config.digest(one) != config.digest(Train(batch=3, stages=(Stage(1),), sizes=(1, 2)))
