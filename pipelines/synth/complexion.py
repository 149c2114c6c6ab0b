"""Skin, brows and irises as pictures: what lies on a head whose triangles have places on a texture (`Head.uv`).

Eleven photographed skins become thousands: two that suit a person are blended, an old one's wrinkles and a few freckles
and moles are laid on, and a table takes each channel to the skin colour that was drawn. No photograph shows a dark
woman: a light skin becomes a dark one by melanin, which darkens all of it and hides its redness. Brows are
photographed strands, moved so that they lie where this face's brow points are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.synth.brows import Brows
from fakeit.pipelines.synth.cards import finer
from fakeit.pipelines.synth.coat import BROW, CHEST, LIP, LIPA, SKIN, Coat
from fakeit.pipelines.synth.config import SkinConfig
from fakeit.pipelines.synth.head import Head
from fakeit.pipelines.synth.makehuman_pack import picture, read_pack
from fakeit.pipelines.synth.people import Person
from fakeit.pipelines.synth.texture import STEPS, Texture

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
_TEXELS = 20.0  # a centimetre of the face, at level 0
_LASH_TEXELS = 48.0  # of their pictures, a centimetre
_TOWARDS = 0.6  # how far a photographed skin goes to the drawn colour: all the way it turns to chalk or to ink
_MELANIN_TOWARDS = 0.9  # from light to dark: the rest of the way is the photograph's own
_BLOODLESS = np.array([0.95, 0.72, 0.68])  # power of each channel's contrasts below much melanin: lips are less red
_ROSY = np.array([1.0, 0.945, 1.17])  # these skins are yellower than cameras show people's (docs/LOG.md, 2026-12-01)
_YELLOW = np.array([1.0, 0.99, 0.88])  # of East Asians' skins, against others as light
_PIGMENT = np.array([0.6, 0.85, 1.0])  # how much of each channel a brown spot takes
_CHEEKS = np.s_[590:815, 430:545]  # of the cropped texture: the face without its rim, whose mean is "the" colour
_STEPS = (STEPS - 1) / 255  # of the table, for a step of the picture
_THROAT = np.s_[620:784, 680:704]
_BROWS = (334, 540, 446, 860)  # left, top, right, bottom of the part that brows lie in, level 0
_ABOVE = 0.1, 1.15  # cm, and deviations of the strands across a brow, from its middle up to its points: the upper edge
_BROW_HAIRS = 2600  # tries; a third lies on a brow
_IRIS_EDGE, _PUPIL_EDGE = 0.9, 0.28  # of the iris pictures, as shares of their half side


@dataclass(frozen=True)
class Skins:
    """The pack's pictures, decoded.

    Attributes:
        skins: (H, W, 4) uint8 RGB and an empty fourth channel, by level (0 is full size, each next half) and number.
        means: (11, 3) linear colour of each skin's middle.
        dark: (11,) whether it is a dark one.
        ages: (11,) years of whoever it was taken from.
        female: (11,) likewise.
        wrinkles: by level, (H, W) what an old skin's folds multiply.
        brows: alpha of each style, 0 to 255, on the part `_BROWS` of level 0.
        brow_shares: how often each is worn; few are plucked to a line.
        irises: (128, 128, 3) float32 linear each.
        iris_names: what they are called.
        lashes: (256, 256) uint8 alpha each.
    """

    skins: tuple[tuple[Bytes, ...], ...]
    means: Floats
    dark: NDArray[np.bool_]
    ages: Floats
    female: NDArray[np.bool_]
    wrinkles: tuple[Floats, ...]
    brows: tuple[Floats, ...]
    brow_shares: Floats
    irises: tuple[Floats, ...]
    iris_names: tuple[str, ...]
    lashes: tuple[Bytes, ...]


@lru_cache(maxsize=2)
def skins(file: str) -> Skins:
    """The pictures of a pack, decoded once a process.

    Raises:
        FakeitError: a texture is missing or damaged.
    """
    pack = read_pack(file)
    names = [str(name) for name in pack["skin_names"]]
    full = [picture(pack, f"skin_{index:02d}", file) for index in range(len(names))]
    levels = [tuple(np.asarray(cv2.merge([*cv2.split(p), np.zeros_like(p[..., 0])]), np.uint8) for p in full)]
    for _ in range(3):
        smaller = [cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for p in levels[-1]]
        levels.append(tuple(np.asarray(p, np.uint8) for p in smaller))
    old = full[next(i for i, name in enumerate(names) if name.startswith("old"))].astype(np.float32) + 4
    fine = cv2.GaussianBlur(old, (0, 0), 2) / cv2.GaussianBlur(old, (0, 0), 16)
    wrinkles = [np.clip(fine.mean(axis=2), 0.6, 1.3)]
    for _ in range(3):
        wrinkles.append(cv2.resize(wrinkles[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    left, top, right, bottom = _BROWS
    keys = [key for key in sorted(pack) if key.startswith("brow_")]
    brows = [picture(pack, key, file)[top:bottom, left:right].astype(np.float32) for key in keys]
    hairs = np.array([brow.sum() for brow in brows])
    shares = np.where(hairs < 0.6 * np.median(hairs), 0.25, 1.0)
    irises = sorted(key for key in pack if key.startswith("iris_"))
    return Skins(
        skins=tuple(levels),
        means=np.array([((p[_CHEEKS] / 255.0) ** 2.2).mean(axis=(0, 1)) for p in full], np.float32),
        dark=np.array(["dark" in name for name in names]),
        ages=np.array([{"you": 24, "mid": 45, "old": 75}[name[:3]] for name in names], np.float32),
        female=np.array(["female" in name for name in names]),
        wrinkles=tuple(np.asarray(w, np.float32) for w in wrinkles),
        brows=tuple(brows),
        brow_shares=np.asarray(shares / shares.sum()),
        irises=tuple(np.asarray((picture(pack, key, file) / 255.0) ** 2.2, np.float32) for key in irises),
        lashes=tuple(picture(pack, key, file) for key in sorted(pack) if key.startswith("lash_0")),
        iris_names=tuple(key.removeprefix("iris_") for key in irises),
    )


def tone_of(person: Person, random: np.random.Generator) -> float:
    """Lightest 0 to darkest 1, by origin, with wide margins."""
    middle = person.origins @ np.array([0.8, 0.34, 0.24])
    return float(np.clip(middle + random.normal(0, 0.14), 0, 1))


def draw_texture(
    head: Head, person: Person, colour: Floats, tone: float, brows: Brows, scale: float, config: SkinConfig,
    random: np.random.Generator,
) -> Texture:  # fmt: skip
    """The texture of one face.

    Args:
        head: whose points say where brows are.
        person: whose age and sex the skins suit.
        colour: (3,) linear RGB that the skin is brought to.
        tone: of it, 0 light to 1 dark.
        brows: where they lie.
        scale: pixels a centimetre of the picture to be rendered, which says how fine a texture it needs.
        config: strength of freckles.
        random: the complexion's own stream.
    """
    known = skins(head.file)
    level = int(np.clip(np.floor(np.log2(_TEXELS / scale) + 0.3), 0, 3))
    first, second = _suiting(known, person, tone, random)
    share = float(random.uniform(0, 1))
    skin = cv2.addWeighted(known.skins[level][first], share, known.skins[level][second], 1 - share, 0)
    depth = float(np.clip((person.years - 38) / 45, 0, 1) * random.uniform(0.3, 1.1))
    if depth > 0.05 and not known.ages[[first, second]].max() > 60:
        skin = _wrinkled(skin, known.wrinkles[level], depth)
    _spots(skin, 0.5**level, tone, person, config, random)
    mean = share * known.means[first] + (1 - share) * known.means[second]
    rosy = _ROSY ** random.uniform(0.3, 1.6)
    table, mean = _towards(colour * _YELLOW ** person.origins[1], mean, rosy)
    _lay_brows(skin, head, known, person, brows, level, random)
    iris = known.irises[_which_iris(known, person, random)]
    grey = iris.mean(axis=2, keepdims=True) * np.array([1.05, 1.0, 0.92])
    iris = (grey + (iris - grey) * random.uniform(0.25, 0.7)) * np.exp(random.normal(0.5, 0.25))
    lashes = finer(known.lashes[int(random.integers(len(known.lashes)))], _LASH_TEXELS / scale)
    dense = (0.45 + 0.4 * person.female) * random.uniform(0.6, 1.15) * (0.8 if person.years > 60 else 1.0)
    return Texture(
        picture=np.asarray(skin, np.uint8),
        scale=0.5**level,
        table=table,
        iris=np.asarray(iris, np.float32),
        lashes=np.minimum(lashes * np.float32(dense), 1),
        colour=mean,
        chest=table[np.arange(3), np.rint(_at(skin, _THROAT, level).mean(axis=(0, 1)) * _STEPS).astype(int)],
        lash_colour=np.array([0.03, 0.02, 0.015], np.float32) * np.float32(random.uniform(0.3, 2)),
    )


def _at(skin: Bytes, part: tuple[slice, slice], level: int) -> Bytes:
    """A part of the picture, told in texels of level 0."""
    rows, columns = (slice(axis.start >> level, axis.stop >> level) for axis in part)
    return skin[rows, columns, :3]


def _towards(colour: Floats, mean: Floats, rosy: Floats) -> tuple[Floats, Floats]:
    """The table (3, STEPS) that brings a skin of mean colour (3,) towards `colour`, and times `rosy`; and the mean that
    it comes to."""
    darker = float(np.clip(np.log(mean.mean() / colour.mean()) / 1.6, 0, 1))  # 1.6: a light skin to a dark one
    gain = rosy * np.clip((colour / mean) ** (_TOWARDS + darker * (_MELANIN_TOWARDS - _TOWARDS)), 0.08, 3.0)
    power = 1 + darker * (_BLOODLESS - 1)
    values = (np.arange(STEPS) / (STEPS - 1)) ** 2.2
    table = (mean * gain)[:, None] * (values[None] / mean[:, None]) ** power[:, None]
    return np.ascontiguousarray(np.minimum(table, 0.95), np.float32), np.asarray(mean * gain, np.float32)


def _suiting(known: Skins, person: Person, tone: float, random: np.random.Generator) -> tuple[int, int]:
    """Two skins of like tone; age and sex make a skin likelier. The dark ones were taken from men."""
    sure = np.interp(person.female, (0.2, 0.8), (0.7, 0.15)) * (0.3 if person.years < 15 else 1.0)
    dark = known.dark if random.random() < sure * np.clip((tone - 0.4) / 0.3, 0, 1) else ~known.dark
    years = np.clip(person.years, 24, 75)
    likely = np.exp(-(((known.ages - years) / 22) ** 2)) + 0.02
    same = np.where(known.female, person.female, 1 - person.female) + 0.15
    if person.years < 15:  # no shadow of a beard
        same = np.where(known.female, 1.0, 0.05)
    likely = likely * same * dark
    one, other = random.choice(len(likely), 2, p=likely / likely.sum())
    return int(one), int(other)


def _which_iris(known: Skins, person: Person, random: np.random.Generator) -> int:
    light = 0.08 + 0.6 * person.origins[2]
    brown = np.array([name in ("brown", "brownlight") for name in known.iris_names])
    likely = np.where(brown, (1 - light) / brown.sum(), light / (~brown).sum())
    return int(random.choice(len(likely), p=likely / likely.sum()))


def _wrinkled(skin: Bytes, wrinkles: Floats, depth: float) -> Bytes:
    factor = 1 + np.float32(depth) * (wrinkles - 1)
    return np.asarray(cv2.multiply(skin, cv2.merge([factor] * 4), dtype=cv2.CV_8U), np.uint8)


def _spots(
    skin: Bytes, scale: float, tone: float, person: Person, config: SkinConfig, random: np.random.Generator
) -> None:
    """Freckles over nose and cheeks of some light skins, moles and the spots of age anywhere; in place."""
    strength = random.uniform(*config.texture)
    moles = int(random.poisson(3 + max(0.0, person.years - 50) / 4))
    freckles = int(random.integers(60, 320)) if tone < 0.45 and random.random() < 0.22 else 0
    place = np.concatenate([
        random.uniform([230, 330], [690, 1070], (moles, 2)),
        random.normal([470, 702], [50, 85], (freckles, 2)),
    ])  # fmt: skip
    radius = np.concatenate([random.uniform(1.0, 3.0, moles), random.uniform(0.7, 1.8, freckles)])
    veil = np.concatenate([random.uniform(0.1, 0.55, moles), random.uniform(0.08, 0.3, freckles) * min(strength, 1.2)])
    for (x, y), size, amount in zip(place * scale, radius * scale, veil, strict=True):
        x0, y0, reach = int(x - size - 0.5), int(y - size - 0.5), int(np.ceil(2 * size)) + 2
        if x0 < 0 or y0 < 0:
            continue
        spot = skin[y0 : y0 + reach, x0 : x0 + reach, :3]
        across, along = np.arange(spot.shape[1]) + x0 - x, np.arange(spot.shape[0]) + y0 - y
        disc = amount * np.clip(size + 0.7 - np.sqrt(across[None] ** 2 + along[:, None] ** 2), 0, 1)
        spot[:] = (spot * (1 - disc[..., None] * _PIGMENT)).astype(np.uint8)


def _lay_brows(
    skin: Bytes, head: Head, known: Skins, person: Person, brows: Brows, level: int, random: np.random.Generator
) -> None:
    """One style's strands, thick or thin, moved and stretched so that they end where the brow points do and lie just
    below them; in place."""
    likely = known.brow_shares
    style = known.brows[int(random.choice(len(likely), p=likely))]
    if random.random() < 0.5:
        style = np.maximum(style, known.brows[int(random.choice(len(likely), p=likely))])
    places = brows.along(head.texels[17:27])  # x runs towards the chin on MakeHuman's skin, y across the face
    left, top, right, bottom = _BROWS
    rows, columns = np.arange(top, bottom, dtype=np.float32), np.arange(left, right, dtype=np.float32)
    order = np.argsort(places[:, 1])
    target = np.interp(rows, places[order, 1], (places[:, 0] - brows.up * _TEXELS)[order])
    sums = np.stack([style @ columns, style.sum(axis=1)], axis=1)
    middles = sums[:, 0] / np.maximum(sums[:, 1], 1)
    sums = np.asarray(cv2.GaussianBlur(sums, (1, 0), 0, sigmaY=14), np.float32)
    solid = sums[:, 1] > 0.08 * sums[:, 1].max()
    own = _style_rows(rows, style.sum(axis=1), places[:, 1])
    middle = np.interp(own, rows[solid], sums[solid, 0] / sums[solid, 1]).astype(np.float32)
    thick = float(np.exp(random.normal(-0.15 * person.female, 0.2)))
    across = np.sqrt(np.average((columns - middles[:, None]) ** 2, weights=style))
    drop = (_ABOVE[0] + random.normal(0, 0.03)) * _TEXELS + _ABOVE[1] * thick * float(across)
    wanted = (target + drop)[:, None]
    at_x = (columns[None] - wanted) / thick + middle[:, None] - left
    at_y = np.repeat((own - top)[:, None], len(columns), axis=1)
    moved = cv2.remap(style, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR)
    dense = (
        random.uniform(1.0, 2.4)
        * (1.1 - 0.3 * person.female)
        * (0.35 if person.years < 3 else 0.75 if person.years > 70 else 1.0)
    )
    moved = 0.5 * moved + 0.5 * cv2.GaussianBlur(moved, (0, 0), 2.2)  # the finest hairs, that no photograph resolves
    laid = np.clip(moved * (0.6 * dense), 0, 255).astype(np.uint8)
    _brow_hairs(laid, target + drop - left, places[:, 1] - top, random)
    if level:
        laid = cv2.resize(laid, None, fx=0.5**level, fy=0.5**level, interpolation=cv2.INTER_AREA)
    x, y = left >> level, top >> level
    skin[y : y + laid.shape[0], x : x + laid.shape[1], 3] = laid


def _brow_hairs(laid: Bytes, middle: Floats, ends: Floats, random: np.random.Generator) -> None:
    """Single hairs where a brow is, in place: upright at its inner end, along it further out.

    Args:
        laid: (R, C) alpha, whose columns run towards the chin.
        middle: (R,) column of the brow's middle.
        ends: (10,) rows of the brow points.
        random: the complexion's own stream.
    """
    row = random.uniform(0, len(laid) - 1, _BROW_HAIRS)
    at = row.astype(int)
    column = middle[at] + random.uniform(-16, 16, _BROW_HAIRS)
    inside = (column >= 0) & (column < laid.shape[1] - 1)
    there = laid[at, np.clip(column, 0, laid.shape[1] - 1).astype(int)]
    grows = inside & (there > random.uniform(15, 140, _BROW_HAIRS))
    row, column, there = row[grows], column[grows], there[grows]
    between = (ends[4] + ends[5]) / 2
    share = np.clip(np.abs(row - between) / max(float(np.abs(ends - between).max()), 1.0), 0, 1)
    turn = np.pi * (0.12 + 0.5 * share) + random.normal(0, 0.2, len(row))  # from upwards to outwards and down
    length = random.uniform(3, 8, len(row))
    tip = np.stack([column - length * np.cos(turn), row + np.sign(row - between) * length * np.sin(turn)], axis=1)
    lines = np.rint(np.stack([np.stack([column, row], axis=1), tip], axis=1) * 16).astype(np.int32)
    hairs = np.zeros_like(laid)
    cv2.polylines(hairs, list(lines), False, 130, 1, cv2.LINE_AA, 4)
    np.maximum(laid, hairs, out=laid)


def _style_rows(rows: Floats, hairs: Floats, ends: Floats) -> Floats:
    """Which row of a brow style lies on each of `rows`, so that its brows end at the points' ends.

    Args:
        rows: (R,) texels. hairs: (R,) how much hair the style has there.
        ends: (10,) rows of the brow points; 0 and 9 the outer ends, 4 and 5 the inner ones.
    """
    between = (ends[4] + ends[5]) / 2
    wanted, own = [], []
    for side in sorted((ends[:5], ends[5:]), key=np.min):
        part = (rows < between) == (side.mean() < between)
        there = rows[part & (hairs > 0.12 * hairs[part].max())]
        wanted += [side.min(), side.max()]
        own += [there[0], there[-1]]
    beyond = 400.0  # straight on beyond the outer ends
    wanted, own = [wanted[0] - beyond, *wanted, wanted[-1] + beyond], [own[0] - beyond, *own, own[-1] + beyond]
    return np.interp(rows, wanted, own).astype(np.float32)


def on_photograph(coat: Coat, texture: Texture, years: float) -> Coat:
    """The same look on a photographed skin, which has lips of its own; a child's skin is even."""
    amounts, colours = coat.amounts.copy(), coat.colours.copy()
    amounts[:3] *= np.interp(years, (5, 20), (0.3, 1.0))
    made_up = colours[LIP, 1] < 0.45 * colours[LIP, 0]
    amounts[LIPA] *= 0.75 if made_up else 0.12
    colours[SKIN], colours[CHEST] = texture.colour, texture.chest
    colours[BROW] *= 0.75  # brows are darker than hair
    return replace(coat, amounts=amounts, colours=colours)
