"""People: sex, age from baby to old, origin, build, and a face of their own, out of MakeHuman's targets.

A macro target belongs to a corner of that space (asian-female-old, universal-male-child-maxmuscle-averageweight); a
person lies between corners, and the targets' weights are products of its shares, as MakeHuman blends them
(mpfb2 macrodetails/macro.json). Face details come on top, each from its own normal distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fakeit.pipelines.synth.arms import Arms
from fakeit.pipelines.synth.config import PeopleConfig

Floats = NDArray[np.float32]
ORIGINS = ("african", "asian", "caucasian")
_AGES = {"baby": 1.0, "child": 11.0, "young": 25.0, "old": 88.0}  # years
# The mean of MakeHuman's details against the mean faces of AFW and HELEN: its noses are long, its mouths low.
_CENTRES = {"nose-scale-vert+": -0.35, "mouth-trans+": 0.4, "mouth-angles+": 0.25}
# What East Asians' eyes and noses have on top of MakeHuman's asian heads, whose lids are deeply folded.
_EAST_ASIAN = {"eye-epicanthus+": 0.4, "eye-eyefold+": -0.3, "eye-height2+": -0.25, "eye-eyefold-angle+": 0.3}
_ASYMMETRY = 0.5  # of the spread of the other details
_RARE = 0.3  # share of people in whom a target without an opposite (a square head, a pointed ear) shows


@dataclass(frozen=True)
class Person:
    """Who a face belongs to.

    Attributes:
        years: of age.
        female: 0 to 1.
        origins: (3,) shares that sum to 1, in the order of `ORIGINS`.
        size: of the head, as a share of the mean adult's; all heads are drawn at the mean adult's size.
    """

    years: float
    female: float
    origins: NDArray[np.float64]
    size: float = 1.0

    @property
    def bearded(self) -> float:
        """How much likelier a beard is than among all faces: 2 for a man, 0 for women and children."""
        return 2.0 * max(0.0, 1 - 1.6 * self.female) * float(np.clip((self.years - 15) / 5, 0, 1))


@dataclass(frozen=True)
class People:
    """The targets that people differ by, on the base mesh.

    Attributes:
        base: (N, 3) vertices before any target, cm.
        macro: (K, N·3) displacements, cm; `macro_names` says of whom.
        macro_names: K names.
        detail: (N·3, 2·D) sparse displacements, cm: of the pairs' first, then of their second (none: zero).
        detail_names: D names.
        paired: (D,) whether there is a second.
        mean: (N, 3) the mean adult, in the frame and size that heads are drawn in.
        front: (N,) vertices that heads are laid upon one another by.
        arms: which hang down in whoever is drawn.
    """

    base: Floats
    macro: Floats
    macro_names: tuple[str, ...]
    detail: csr_matrix
    detail_names: tuple[str, ...]
    paired: NDArray[np.bool_]
    mean: Floats
    front: NDArray[np.bool_]
    arms: Arms

    def draw(self, config: PeopleConfig, random: np.random.Generator) -> tuple[Floats, Person]:
        """The base mesh (N, 3) of somebody at rest, laid upon the mean adult, and who it is."""
        person = draw_person(config, random)
        build = np.clip(random.normal(0.5, config.build_sd, 2), 0, 1)  # muscle, weight
        spread = np.array([_ASYMMETRY if name.startswith("asym") else 1.0 for name in self.detail_names])
        spread *= np.interp(person.years, (3, 16), (0.55, 1.0))  # faces grow apart
        detail = centres(self.detail_names) + person.origins[1] * _east_asian(self.detail_names)
        detail = detail + random.normal(0, config.detail_sd, len(spread)) * spread
        detail = np.clip(detail, -1, 1).astype(np.float32)
        shown = random.random(len(spread)) < _RARE
        detail[~self.paired] = np.abs(detail[~self.paired]) * shown[~self.paired]
        return self.shape(person, float(build[0]), float(build[1]), detail)

    def shape(self, person: Person, muscle: float, weight: float, detail: Floats) -> tuple[Floats, Person]:
        """The base mesh (N, 3) of a person with detail coefficients (D,) in [−1, 1]."""
        moved = self.detail @ np.concatenate([np.maximum(detail, 0), np.maximum(-detail, 0)])
        for weight_of, target in zip(macro_weights(self.macro_names, person, muscle, weight), self.macro, strict=True):
            if weight_of:  # a quarter of them
                moved += weight_of * target
        laid, scale = lay_upon(self.base + moved.reshape(-1, 3), self.mean, self.front)
        return self.arms.hang(laid), Person(person.years, person.female, person.origins, 1 / scale)


def draw_person(config: PeopleConfig, random: np.random.Generator) -> Person:
    """Somebody: age by the conf's shares, origins mostly of one kind, sexes mostly apart."""
    kind, place, mixed = random.random(3)
    if kind < config.babies:
        years = 0.5 + 2.5 * place
    elif kind < config.babies + config.children:
        years = 3 + 11 * place
    elif kind < config.babies + config.children + config.old:
        years = 55 + 35 * place
    else:
        years = 14 + 41 * place
    female = float(np.clip((random.random() < config.female) + random.normal(0, 0.12), 0, 1))
    origins = random.dirichlet(np.array(config.origins) * (0.3 if mixed < 0.8 else 3.0))
    return Person(float(years), female, origins)


def centres(names: tuple[str, ...]) -> Floats:
    """(D,) where each detail's distribution has its middle."""
    return np.array([_CENTRES.get(name, 0.0) for name in names], np.float32)


def _east_asian(names: tuple[str, ...]) -> Floats:
    return np.array([_EAST_ASIAN.get(name, 0.0) for name in names], np.float32)


def macro_weights(names: tuple[str, ...], person: Person, muscle: float, weight: float) -> Floats:
    """(K,) weights of macro targets: the product of the shares that a name is made of."""
    share = dict(zip(ORIGINS, person.origins.tolist(), strict=True)) | {"universal": 1.0}
    share |= {"female": person.female, "male": 1 - person.female}
    ages = list(_AGES)
    place = float(np.interp(person.years, list(_AGES.values()), range(len(ages))))
    share |= {age: max(0.0, 1 - abs(place - index)) for index, age in enumerate(ages)}
    for what, value in (("muscle", muscle), ("weight", weight)):
        share |= {f"min{what}": max(0.0, 1 - 2 * value), f"max{what}": max(0.0, 2 * value - 1)}
        share[f"average{what}"] = 1 - share[f"min{what}"] - share[f"max{what}"]
    return np.array([math.prod(share[word] for word in name.split("-")) for name in names], np.float32)


def lay_upon(vertices: Floats, mean: Floats, front: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Vertices (N, 3) moved, scaled and nodded so that those of `front` lie nearest to `mean`; and the scale.

    Umeyama 1991 with the rotation about the x axis alone: faces look ahead already, but the old hang their heads.
    """
    here, there = vertices[front], mean[front]
    a, b = here.mean(axis=0), there.mean(axis=0)
    x, y = here - a, there - b
    angle = np.arctan2((x[:, 1] * y[:, 2] - x[:, 2] * y[:, 1]).sum(), (x[:, 1] * y[:, 1] + x[:, 2] * y[:, 2]).sum())
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    turned = x @ turn.T
    scale = float((turned * y).sum() / (turned**2).sum())
    return np.asarray((vertices - a) @ turn.T * scale + b, np.float32), scale
