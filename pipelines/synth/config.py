"""The distributions a face is drawn from. conf/synthesize/default.toml repeats them with the reason for each range."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from fakeit.pipelines.errors import FakeitError

Range = tuple[float, float]


def _share(section: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise FakeitError(f"{section}.{name} is {value}; a probability lies in 0 to 1")


def _spread(section: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise FakeitError(f"{section}.{name} is {value}; expected a finite number of at least 0")


def _range(section: str, least: float, most: float = math.inf, **values: tuple[float, float]) -> None:
    bounds = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
    for name, (low, high) in values.items():
        if not (least <= low <= high <= most and high < math.inf):
            raise FakeitError(f"{section}.{name} is {[low, high]}; expected two numbers, {bounds}, the smaller first")


@dataclass(frozen=True)
class HeadConfig:
    """Which head, and how far identities spread."""

    kind: Literal["builtin", "ict", "makehuman"] = "builtin"
    file: str = ""  # the packed model, for "ict"; for "makehuman" another one than the shipped
    identity_sd: float = 1.5  # of the model's own: wider than people are
    stretch_sd: float = 0.045  # of width, height and depth of the whole head
    brow_sd: float = 0.22  # cm, how far brows sit above or below their mean place
    brow_ends_sd: float = 0.2  # how far they reach beyond their mean ends, in quarters of their length

    def __post_init__(self) -> None:
        _spread("head", identity_sd=self.identity_sd, stretch_sd=self.stretch_sd)
        _spread("head", brow_sd=self.brow_sd, brow_ends_sd=self.brow_ends_sd)


@dataclass(frozen=True)
class PeopleConfig:
    """Whom `head.kind = "makehuman"` draws."""

    babies: float = 0.03  # share of faces under three years
    children: float = 0.11  # three to fourteen
    old: float = 0.22  # 55 to 90
    female: float = 0.5
    origins: tuple[float, float, float] = (1.0, 1.0, 1.0)  # how often african, asian, caucasian
    build_sd: float = 0.2  # of muscle and weight, which lie in 0 to 1
    detail_sd: float = 0.2  # of some 130 face details, of which 1 is the most that MakeHuman's makers thought of

    def __post_init__(self) -> None:
        _share("people", babies=self.babies, children=self.children, old=self.old, female=self.female)
        _spread("people", build_sd=self.build_sd, detail_sd=self.detail_sd)
        if self.babies + self.children + self.old > 1 or not all(0 < often < math.inf for often in self.origins):
            raise FakeitError(
                "people: babies, children and old add up to 1 at most, and origins are above 0 and finite"
            )


@dataclass(frozen=True)
class ExpressionConfig:
    """How faces move."""

    neutral: float = 0.35  # share of faces at rest
    smile: float = 0.55
    jaw_open_sd: float = 0.3
    blink: float = 0.05  # both eyes shut
    units: float = 0.35  # largest strength of MakeHuman's own expression units, of which a moved face has up to three
    gaze_sd: tuple[float, float] = (16.0, 9.0)  # degrees, sideways and, before lids draw it half back, up or down

    def __post_init__(self) -> None:
        _share("expression", neutral=self.neutral, smile=self.smile, blink=self.blink)
        _spread("expression", jaw_open_sd=self.jaw_open_sd, units=self.units)
        for degrees in self.gaze_sd:
            _spread("expression", gaze_sd=degrees)


@dataclass(frozen=True)
class CameraConfig:
    """Where the camera stands, and through what it looks."""

    yaw_sd: float = 17.0  # degrees
    pitch_sd: float = 9.5
    roll_sd: float = 9.0
    crop: Range = (0.25, 1.0)  # share of a telephone's picture that the face's picture is: with its lens, the distance
    frame: Range = (31.0, 44.0)  # cm of the face's plane that the picture shows

    def __post_init__(self) -> None:
        _spread("camera", yaw_sd=self.yaw_sd, pitch_sd=self.pitch_sd, roll_sd=self.roll_sd)
        _range("camera", 0.01, 1.0, crop=self.crop)
        _range("camera", 1.0, frame=self.frame)


@dataclass(frozen=True)
class SkinConfig:
    """What is on the skin."""

    texture: Range = (0.3, 1.2)  # strength of blotches, pores and freckles
    makeup: float = 0.3
    beard: float = 0.36
    tones: Range = (0.0, 1.0)  # of all people's, from the lightest to the darkest

    def __post_init__(self) -> None:
        _share("skin", makeup=self.makeup, beard=self.beard)
        _range("skin", 0.0, texture=self.texture)
        if not 0 <= self.tones[0] <= self.tones[1] <= 1:
            raise FakeitError(f"skin.tones is {list(self.tones)}; two numbers in 0 (lightest) to 1, the lighter first")


@dataclass(frozen=True)
class HairConfig:
    """How hair is worn."""

    bald: float = 0.13
    long: float = 0.4
    fringe: float = 0.3
    receding: float = 0.12

    def __post_init__(self) -> None:
        _share("hair", bald=self.bald, long=self.long, fringe=self.fringe, receding=self.receding)


@dataclass(frozen=True)
class AccessoryConfig:
    """What is worn, or gets in the way: the share of faces that have it."""

    glasses: float = 0.22
    sunglasses: float = 0.25  # of those with glasses
    hat: float = 0.1
    mask: float = 0.025
    headset: float = 0.03
    occluder: float = 0.04  # hands, microphones, other things before the face
    scarf: float = 0.05

    def __post_init__(self) -> None:
        _share("accessories", scarf=self.scarf)
        _share("accessories", glasses=self.glasses, sunglasses=self.sunglasses, hat=self.hat, mask=self.mask)
        _share("accessories", headset=self.headset, occluder=self.occluder)


@dataclass(frozen=True)
class ClothesConfig:
    """What is worn below the chin."""

    bare: float = 0.12  # shoulders
    stripes: float = 0.25
    neckline: float = 0.5  # share of collars that dip in front

    def __post_init__(self) -> None:
        _share("clothes", bare=self.bare, stripes=self.stripes, neckline=self.neckline)


@dataclass(frozen=True)
class LightConfig:
    """Lamps and surroundings."""

    measured: float = 0.7  # share of faces lit by a panorama; the others by drawn light
    ambient: Range = (0.15, 0.7)
    lights: tuple[int, int] = (1, 3)
    shadows: float = 0.7  # share of faces whose first light casts shadows
    exposure_sd: float = 0.3  # of the natural logarithm

    def __post_init__(self) -> None:
        _share("light", shadows=self.shadows, measured=self.measured)
        _spread("light", exposure_sd=self.exposure_sd)
        _range("light", 0.0, ambient=self.ambient)
        _range("light", 1, lights=self.lights)


@dataclass(frozen=True)
class BackgroundConfig:
    """What stands behind."""

    place: float = 0.75  # share of faces lit by a panorama that stand in it
    plain: float = 0.15
    shapes: tuple[int, int] = (2, 25)  # how many, from the first number to below the second
    others: float = 0.08  # another face behind this one, smaller
    folder: str = ""  # pictures to use instead, one face in two

    def __post_init__(self) -> None:
        _share("background", place=self.place, plain=self.plain, others=self.others)
        if not 0 <= self.shapes[0] < self.shapes[1]:
            found = list(self.shapes)
            raise FakeitError(f"background.shapes is {found}; from the first number, at least 0, to below the second")


@dataclass(frozen=True)
class EffectConfig:
    """What a camera and its file make of a picture."""

    blur: Range = (0.2, 1.2)  # sigma at 512 pixels, beside a third of a pixel
    depth_blur: float = 0.3
    motion_blur: float = 0.06
    contrast: Range = (0.25, 0.9)  # of an S about the middle of the tone curve
    saturation: Range = (0.6, 1.3)
    grey: float = 0.03  # share of pictures in black and white
    noise: Range = (0.0, 6.0)  # standard deviation in 8-bit steps; most have little
    sharpen: float = 0.3
    vignette: float = 0.2
    jpeg: float = 0.25
    twice: float = 0.5  # of those: stored and stored again

    def __post_init__(self) -> None:
        _share("effects", depth_blur=self.depth_blur, motion_blur=self.motion_blur, grey=self.grey)
        _share("effects", vignette=self.vignette, jpeg=self.jpeg, twice=self.twice, sharpen=self.sharpen)
        _range("effects", 0.0, blur=self.blur, contrast=self.contrast, saturation=self.saturation, noise=self.noise)


@dataclass(frozen=True)
class LabelConfig:
    """What is written beside the 70 points."""

    dense: bool = True  # 400 points in three dimensions, pose and gaze, in a file of their own


@dataclass(frozen=True)
class SynthesisConfig:
    """One conf file of conf/synthesize."""

    head: HeadConfig = field(default_factory=HeadConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    expression: ExpressionConfig = field(default_factory=ExpressionConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    skin: SkinConfig = field(default_factory=SkinConfig)
    hair: HairConfig = field(default_factory=HairConfig)
    accessories: AccessoryConfig = field(default_factory=AccessoryConfig)
    clothes: ClothesConfig = field(default_factory=ClothesConfig)
    light: LightConfig = field(default_factory=LightConfig)
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    effects: EffectConfig = field(default_factory=EffectConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)
