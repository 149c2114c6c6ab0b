"""A head of hair as it is drawn by chance: colour, hairline, and how it is cut and combed. `strands` grows it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.config import HairConfig
from fakeit.pipelines.synth.people import Person

Floats = NDArray[np.float32]
HAIR_CLASS = 13
_LOCKS = 130

# Linear RGB × 255 (before the power of 2.2): black, dark to light brown, blond, grey, white, red, dyed.
_COLOURS = np.array(
    [
        [30, 25, 23], [46, 34, 27], [70, 48, 34], [104, 74, 50], [166, 132, 92], [128, 126, 124], [205, 200, 195],
        [112, 54, 32], [90, 40, 110],
    ]
)  # fmt: skip
_GREY = (5, 6)
_LIGHT_SKIN = np.array([0.14, 0.2, 0.2, 0.14, 0.14, 0.07, 0.04, 0.06, 0.01])  # shares of these colours
_DARK_SKIN = np.array([0.62, 0.22, 0.05, 0.01, 0.01, 0.05, 0.02, 0.01, 0.01])


@dataclass(frozen=True)
class Style:
    """How hair is cut and combed; lengths in cm.

    Attributes:
        top: length of the hair on top.
        sides: length at the sides.
        back: length at the back.
        fringe: length of what falls over the forehead; 0: it is combed away.
        parting: x of the parting.
        sweep: sideways combing of all, −1 to 1.
        backwards: 0 falls from the parting, 1 is combed straight back.
        lift: how far roots stand off, 0 to 1.
        stiffness: how slowly a strand bends to its weight, 0 to 1.
        volume: how far hair lies off the head.
        curl: radius of its curls.
        turns: a cm of strand.
        clump: how strongly strands gather in locks, 0 to 1.
        frizz: how far single strands stray.
        locks: how many locks.
        density: of strands, 1 is usual.
        round: tight coils that stand on all sides of a ball.
        coil: cm that they stick out of it.
    """

    top: float
    sides: float
    back: float
    fringe: float
    parting: float
    sweep: float
    backwards: float
    lift: float
    stiffness: float
    volume: float
    curl: float
    turns: float
    clump: float
    frizz: float
    locks: int
    density: float
    round: bool = False
    coil: float = 0.0


@dataclass(frozen=True)
class Hair:
    """One head of hair.

    Attributes:
        colour: (3,) linear RGB.
        brow: (3,) of the brows.
        beard: (3,) of the beard.
        grey: share of strands that are grey.
        weight: (V,) how much of a vertex is hair, 0 to 1.
        lift: (V,) cm that its underlayer stands off the head.
        style: of its strands; None: bald or shaven.
    """

    colour: Floats
    brow: Floats
    beard: Floats
    grey: float
    weight: Floats
    lift: Floats
    style: Style | None


def draw_hair(
    config: HairConfig, canonical: Floats, tone: float, random: np.random.Generator, person: Person | None = None
) -> Hair:
    """Hair for one face: hairline, temples, parting and volume vary.

    Args:
        config: shares of styles.
        canonical: (V, 3) cm.
        tone: of the skin.
        random: the hair's own stream.
        person: whose age and sex hair goes with; None: anybody's.
    """
    config, greying = _suiting(config, person)
    shares = _LIGHT_SKIN + min(1.0, 1.3 * tone) * (_DARK_SKIN - _LIGHT_SKIN)
    shares = shares * np.where(np.isin(np.arange(len(_COLOURS)), _GREY), greying, 1.0)
    kind = int(random.choice(len(_COLOURS), p=shares / shares.sum()))
    colour = (_COLOURS[kind] / 255) ** 2.2 * np.exp(random.normal(0, 0.2))
    grey = float(random.uniform(0.3, 1)) if kind in _GREY else max(0.0, float(random.normal(-0.1, 0.15)))
    grey *= min(1.0, greying)
    dark = (_COLOURS[random.choice(3)] / 255) ** 2.2  # most brows are darker than light hair
    brow = np.minimum(colour * random.uniform(0.5, 1.0), dark * 2.5) if random.random() < 0.9 else colour
    beard = colour * random.uniform(0.5, 1.1) if random.random() < 0.8 else (_COLOURS[5] / 255) ** 2.2
    x, y, z = canonical[:, 0], canonical[:, 1], canonical[:, 2]
    hairline, temple = random.uniform(8.0, 11.0), random.uniform(6.6, 7.8)
    wave = random.uniform(0, 2 * np.pi, 2)
    recess = np.maximum(0, np.abs(x) - random.uniform(3, 6)) * random.uniform(0.3, 1.6)
    if random.random() < config.receding:
        hairline, recess = hairline + 1.5, recess * 2 + random.uniform(0, 2) * (np.abs(np.abs(x) - 4) < 2)
    uneven = 0.25 * np.sin(1.1 * x + wave[0]) + 0.2 * np.sin(2.3 * x + wave[1])
    top = _ramp(y - hairline + recess + uneven + 0.5, 1.7) * (y > -2)
    front, low = random.uniform(1.5, 3.5), random.uniform(-3, 3.5)
    sideburns = _ramp(np.abs(x) - temple + 0.4, 0.8) * _ramp(front - z + 0.4, 0.8) * _ramp(y - low + 0.4, 0.8)
    back = _ramp(-0.1 - z, 0.8) * _ramp(y + 4.5 - 0.4 * np.abs(x), 1.0)
    ears = (np.abs(x) > 7.2) & (y < 4.8) & (y > -3) & (z < 4) & (z > -1.5)
    weight = (np.maximum(top, np.maximum(sideburns, back)) * ~ears).astype(np.float32)
    style: Style | None = draw_style(config, tone, random)
    stubble = random.random() < 0.5
    if random.random() < config.bald:
        crown = np.clip((random.uniform(3.5, 7.5) - y) / 0.8, 0, 1) * (z < 2)  # a wreath is left, or nothing
        weight = np.asarray(weight * crown * (0.9 if stubble else 0.0), np.float32)
        style = draw_short(random, 0.8) if stubble else None
    high = 0.0 if style is None else min(0.8 * style.volume, 3.2) if style.round else min(0.5 * style.volume, 1.2) + 0.1
    lift = weight * high
    if style is not None and style.round:
        weight = np.minimum(1.0, 2.2 * weight)  # no skin shows on the ball
        lift = lift * np.maximum(np.clip((y - 1) / 5, 0.12, 1), np.clip((-z - 1) / 3, 0, 1))  # flat about the ears
    return Hair(
        colour=np.asarray(colour, np.float32),
        brow=np.asarray(brow, np.float32),
        beard=np.asarray(beard, np.float32),
        grey=grey,
        weight=np.asarray(weight, np.float32),
        lift=np.asarray(lift, np.float32),
        style=style,
    )


def _suiting(config: HairConfig, person: Person | None) -> tuple[HairConfig, float]:
    """Shares of styles by age and sex, and how much likelier grey hair is than among all people."""
    if person is None:
        return config, 1.0
    years, man = person.years, 1 - person.female
    grown = float(np.clip((years - 2) / 3, 0.1, 1))  # years that it takes to grow long hair
    ageing = float(np.interp(years, (18, 30, 60, 85), (0.0, 0.5, 2.0, 3.0)))
    return replace(
        config,
        long=_odds(config.long, grown * (3.0 - 2.7 * man)),
        bald=_odds(config.bald, 3.0 if years < 1.5 else (0.2 + 1.8 * man) * max(ageing, 0.15)),
        receding=_odds(config.receding, (0.1 + 2.0 * man) * ageing),
    ), float(np.interp(years, (20, 35, 55, 75), (0.0, 0.3, 3.0, 25.0)))


def _odds(share: float, times: float) -> float:
    """A share whose odds are so many times as high: 0 stays 0 and 1 stays 1."""
    return share * times / (1 - share + share * times) if share < 1 else 1.0


def _ramp(values: Floats, width: float) -> Floats:
    return np.clip(values / width, 0, 1)


def draw_style(config: HairConfig, tone: float, random: np.random.Generator) -> Style:
    """Short, long, curly, round, in locks or tied; long hair `config.long` of the time."""
    parting, sweep = random.choice([0.0, 1.0]) * random.normal(0, 2.5), random.normal(0, 0.35)
    fringe = random.uniform(2.5, 6.0) if random.random() < config.fringe else 0.0
    coiled = bool(random.random() < 0.1 + 0.55 * tone)
    if random.random() < config.long:
        return _draw_long(random, tone, coiled, fringe, parting, sweep)
    if coiled and random.random() < 0.2 + 0.6 * tone:
        return _draw_round(random)
    return draw_short(random, random.uniform(1.0, 8.0), fringe, parting, sweep)


def _draw_long(
    random: np.random.Generator, tone: float, coiled: bool, fringe: float, parting: float, sweep: float
) -> Style:
    """Hair from the chin to the chest: open, or tied at the back, now and then in locks or braids."""
    length = float(np.exp(random.uniform(np.log(9), np.log(40))))
    curl, turns = random.uniform(0, 0.25), 0.12
    if coiled:
        curl, turns = random.uniform(0.2, 0.6), random.uniform(0.25, 0.8)
    tied = random.random() < 0.25
    clump, locks = random.uniform(0.05, 0.35), _LOCKS
    if tone > 0.5 and random.random() < 0.35:
        clump, locks = 0.97, 70
    return Style(
        top=4.0 if tied else length,
        sides=3.0 if tied else length,
        back=2.0 if tied else length,
        fringe=fringe,
        parting=parting,
        sweep=sweep,
        backwards=1.0 if tied else random.choice([0.0, 0.0, 0.7]),
        lift=random.uniform(0.05, 0.3),
        stiffness=random.uniform(0.3, 0.6),
        volume=0.15 if tied else random.uniform(0.9, 2.4) + (1.0 if coiled else 0),
        curl=0.0 if tied else curl,
        turns=turns,
        clump=clump,
        frizz=random.uniform(0.05, 0.3),
        locks=locks,
        density=1.3,
    )


def _draw_round(random: np.random.Generator) -> Style:
    """Tight curls that stand on all sides."""
    length = float(random.uniform(0.5, 2.4) ** 2)
    return Style(
        top=length,
        sides=length * random.uniform(0.4, 1),
        back=length,
        fringe=0.0,
        parting=0.0,
        sweep=0.0,
        backwards=0.5,
        lift=1.0,
        stiffness=0.97,
        volume=length,
        curl=random.uniform(0.1, 0.2),
        turns=random.uniform(0.9, 1.8),
        clump=random.uniform(0.0, 0.15),
        frizz=0.55,
        locks=_LOCKS,
        density=2.0,
        round=True,
        coil=min(0.35 + 0.3 * length, random.uniform(0.8, 1.8)),
    )


def draw_short(
    random: np.random.Generator, top: float, fringe: float = 0.0, parting: float = 0.0, sweep: float = 0.0
) -> Style:
    """A short cut of `top` cm: straight, wavy or standing."""
    wavy = random.random() < 0.35 and top > 2.5
    return Style(
        top=top,
        sides=min(top, random.uniform(0.5, 3.5)),
        back=min(top, random.uniform(0.8, 4.0)),
        fringe=min(fringe, 0.9 * top) if top > 2 else 0.0,
        parting=parting,
        sweep=sweep + (0.5 * float(np.sign(parting)) if parting else 0.0),
        backwards=random.choice([0.0, 0.4, 1.0]),
        lift=random.uniform(0.4, 0.9) if top < 2.5 else random.uniform(0.15, 0.6),
        stiffness=random.uniform(0.45, 0.85),
        volume=min(0.25 * top, random.uniform(0.3, 1.6)),
        curl=random.uniform(0.15, 0.5) if wavy else 0.0,
        turns=random.uniform(0.25, 0.6) if wavy else 0.3,
        clump=random.uniform(0.15, 0.6),
        frizz=random.uniform(0.05, 0.25),
        locks=_LOCKS,
        density=1.2,
    )
