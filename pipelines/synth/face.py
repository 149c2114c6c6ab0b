"""One face: (seed, index, conf) → picture, 70 points, visibility, segmentation. Pure, and face i never needs face i−1.

Every ingredient draws from a random stream of its own, so that switching one off leaves all others as they were.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.dense_points import Dense
from fakeit.pipelines.sources import HIDDEN, VISIBLE
from fakeit.pipelines.synth.accessories import draw_accessories
from fakeit.pipelines.synth.background import draw_background
from fakeit.pipelines.synth.baked import baked
from fakeit.pipelines.synth.brows import Brows
from fakeit.pipelines.synth.camera import draw_camera
from fakeit.pipelines.synth.cards import draw_cards
from fakeit.pipelines.synth.coat import SKIN, draw_coat, draw_tone
from fakeit.pipelines.synth.complexion import draw_texture, on_photograph, tone_of
from fakeit.pipelines.synth.config import SynthesisConfig
from fakeit.pipelines.synth.dense import label
from fakeit.pipelines.synth.effects import depth_blur, photograph
from fakeit.pipelines.synth.expression import by_origin, draw_expression, draw_gaze
from fakeit.pipelines.synth.face_hair import draw_face_hair
from fakeit.pipelines.synth.hair import draw_hair
from fakeit.pipelines.synth.head import Head
from fakeit.pipelines.synth.heads import load_head
from fakeit.pipelines.synth.light import draw_lighting
from fakeit.pipelines.synth.paint import paint
from fakeit.pipelines.synth.people import Person
from fakeit.pipelines.synth.raster import rasterise, vertex_normals
from fakeit.pipelines.synth.shade import shade
from fakeit.pipelines.synth.strand_light import draw_hair_strands, shadow_on_face
from fakeit.pipelines.synth.strands import grow, head_radii
from fakeit.pipelines.synth.wardrobe import Worn
from fakeit.pipelines.synth.worn import draw_worn

Floats = NDArray[np.float32]
_HIDDEN_BY = 0.6  # cm that a point may lie behind the surface that is seen and still count as visible
_DENSE_HIDDEN_BY = 0.3  # a dense point lies on the surface itself; hair that is lifted off it is told by its class
_SMOOTH = np.linalg.qr(np.vander(np.linspace(-1, 1, 5), 3))[0]
_SMOOTH = _SMOOTH @ _SMOOTH.T  # five heights → the parabola through them
_MEAN_SKIN = 0.3  # linear; of darker skin cameras make a darker picture, though less so than it is
_DARK_STAYS_DARK = 0.35
_COVERS = np.isin(np.arange(256), (13, 16, 17, 18))  # hair, glasses, headwear, facewear
_NINE = (-1, 0, 1)
_WIDER = 1.45  # the frame of somebody else beside a face
_NOWHERE = -1e8  # deeper than any surface
_EYE_BACK = 0.25  # cm that eyeballs draw back under closed lids, which are too thin for some identities
_SHUT = 0.3  # cm between the lids, below which nobody looks out of them
_PUPIL = 0.4  # of the opening, from the upper lid: where it is on photographs


@dataclass(frozen=True)
class Face:
    """A rendered face.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        landmarks: (70, 2) float32, pixels (centre of the first pixel is (0, 0)); projections of points of the head,
            the hidden ones too.
        visibility: (70,) uint8, 1 hidden, 2 visible (COCO's).
        segmentation: (H, W) uint8, the 19 classes of Face Synthetics.
        dense: the dense labels, where the conf asks for them and the head has them.
    """

    image: NDArray[np.uint8]
    landmarks: Floats
    visibility: NDArray[np.uint8]
    segmentation: NDArray[np.uint8]
    dense: Dense | None = None


def stream(seed: int, index: int, ingredient: str) -> np.random.Generator:
    """The random numbers of one ingredient of one face."""
    key = hashlib.blake2b(f"{seed}\0{index}\0{ingredient}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def render(index: int, seed: int, config: SynthesisConfig, size: int) -> Face:
    """Renders face `index` of the set `seed` as a picture of `size`² pixels."""
    cv2.setNumThreads(0)
    head = load_head(config.head.kind, config.head.file)
    made = baked(head)
    vertices, brows, person = _draw_shape(head, config, stream(seed, index, "shape"))
    strength = draw_expression(config.expression, stream(seed, index, "expression"))
    if person is not None:
        strength = by_origin(strength, person.origins)
    gaze = draw_gaze(config.expression, stream(seed, index, "gaze"))
    vertices = _express(head, vertices, strength)
    gaze = _between_lids(head, vertices, gaze)
    toned = stream(seed, index, "tone")
    tone = draw_tone(toned) if person is None else tone_of(person, toned)
    tone = config.skin.tones[0] + (config.skin.tones[1] - config.skin.tones[0]) * tone
    hair = draw_hair(config.hair, head.canonical, tone, stream(seed, index, "hair"), person)
    skin = stream(seed, index, "skin")
    coat = draw_coat(config, tone, hair, gaze, skin, stream(seed, index, "clothes"))
    layers = paint(head, brows, config.skin, skin, 1.0 if person is None else person.bearded)
    landmarks = _points(head, vertices, brows, gaze)
    normals = np.asarray(vertex_normals(vertices, head.triangles), np.float32)
    normals[head.teeth] = _translucent(normals[head.teeth], vertices[head.teeth])
    grown = vertices + normals * hair.lift[:, None]
    wearing = stream(seed, index, "accessories")
    chance = wearing.random(6)
    radii = head_radii(grown)
    worn = draw_worn(config.accessories, landmarks[:68], vertices, radii, chance, wearing)
    if worn.hides_hair:
        grown = vertices
    camera = draw_camera(config.camera, stream(seed, index, "camera"), _look_at(landmarks), size)
    texture = None
    if person is not None:
        complexion = stream(seed, index, "complexion")
        texture = draw_texture(head, person, coat.colours[0], tone, brows, camera.scale, config.skin, complexion)
        coat = on_photograph(coat, texture, person.years)
    lighting = draw_lighting(config.light, stream(seed, index, "light"))

    around = stream(seed, index, "background")
    image = draw_background(config.background, around, size, lighting, camera)
    _draw_other(image, index, seed, config)
    image = depth_blur(image, config.effects, around)
    classes = np.zeros((size, size), np.uint8)
    brightness = float((lighting.harmonics[0] + 0.5 * lighting.harmonics[2]).mean() + 0.4 * lighting.colours.mean())
    positions = camera.to_camera(np.concatenate([grown, worn.vertices]))
    triangles = np.concatenate([head.triangles, worn.triangles + np.int32(len(grown))])
    projected = camera.project(positions)
    depth, owner, second, third = rasterise(projected, triangles, size, size)
    turned = cv2.transform(normals[:, None], camera.turn)[:, 0]
    if len(worn.vertices):
        turned = np.concatenate([turned, vertex_normals(worn.vertices, worn.triangles) @ camera.turn.T])
    turned = np.ascontiguousarray(turned, np.float32)
    opened = np.concatenate(
        [_under_hat(made.opened, head.canonical, worn), np.full(len(worn.vertices), 0.9, np.float32)]
    )
    uv = None if head.uv is None else np.concatenate([head.uv, np.zeros((len(worn.triangles), 3, 2), np.float32)])
    casting = np.concatenate([made.casting, worn.triangles + np.int32(len(grown))])
    light = shade(
        owner, second, third, triangles, np.concatenate([head.material, worn.material]),
        np.concatenate([head.canonical, worn.weave]), turned, positions, opened,
        np.concatenate([hair.weight, np.zeros(len(worn.vertices), np.float32)]), layers, coat, head.eyes, head.painted,
        worn.looks, lighting, camera, image, classes, casting, uv, texture,
    )  # fmt: skip
    if texture is not None:
        lash = texture.lash_colour * np.float32(brightness)
        draw_cards(image, depth, projected, head.lashes, head.lash_uv, texture.lashes, lash)
    points = camera.project(camera.to_camera(landmarks))
    visibility = _visibility(points, depth, _HIDDEN_BY)
    draw_face_hair(
        image, classes, depth, vertices, normals, head.canonical, head.triangles, made, light, layers, landmarks,
        hair, camera, bool(len(head.lashes)), stream(seed, index, "face hair"),
    )  # fmt: skip
    strands = stream(seed, index, "strands")
    if hair.style is not None and not worn.hides_hair:
        grown_hair = grow(
            hair, hair.style, vertices, normals, head.triangles, made.size, radii, camera.scale, worn.rim, strands
        )
        before = classes.copy()
        covered = draw_hair_strands(image, classes, depth, grown_hair, hair, camera, lighting, strands)
        shadow_on_face(image, before, covered, lighting.directions[0], camera.scale)
    skin_colour = _seen_skin(image, classes, coat.colours[SKIN] * brightness)
    held = chance[4] < config.accessories.occluder
    hand = draw_accessories(image, classes, depth, held, worn, landmarks[:68], camera, skin_colour, brightness, wearing)
    visibility[_covered(points, classes, hand)] = HIDDEN
    dense = None
    if config.labels.dense and len(head.dense):
        places = vertices[head.dense]
        at = camera.project(camera.to_camera(places))
        in_sight = _visibility(at, depth, _DENSE_HIDDEN_BY, _NINE)  # the rim is steep
        in_sight[_covered(at, classes, hand)] = HIDDEN
        dense = label(places, in_sight, gaze, camera, 1.0 if person is None else person.size)
    shown = _brightness(image[::4, ::3], classes[::4, ::3])
    meant = lighting.exposure * (float(coat.colours[SKIN].mean()) / _MEAN_SKIN) ** _DARK_STAYS_DARK
    exposure = min(meant / max(shown, 0.02), 4.0)
    picture = photograph(image, exposure, config.effects, stream(seed, index, "effects"))
    return Face(picture, points[:, :2].astype(np.float32), visibility, classes, dense)


def _brightness(image: Floats, classes: NDArray[np.uint8]) -> float:
    """Median of the strongest channel over skin and nose; clothes and hair do not make a face's exposure."""
    face = (classes == 1) | (classes == 2)
    seen = image[face] if face.any() else image[classes > 0]
    return float(np.median(cv2.reduce(seen, 1, cv2.REDUCE_MAX))) if len(seen) else 0.3


def _seen_skin(image: Floats, classes: NDArray[np.uint8], otherwise: Floats) -> Floats:
    """The face's colour (3,) as it is lit; `otherwise` where none is seen."""
    seen = image[::4, ::4][classes[::4, ::4] == 1]
    return np.median(seen, axis=0) if len(seen) > 20 else otherwise


def _under_hat(opened: Floats, canonical: Floats, worn: Worn) -> Floats:
    """How open each vertex lies (V,), less below the rim of a hat."""
    if worn.rim is None:
        return opened
    above = canonical[:, 1] - worn.rim[0] - worn.rim[1] * canonical[:, 2]
    return np.asarray(opened * np.clip(0.5 - above / 5, 0.45, 1), np.float32)


def _draw_other(image: Floats, index: int, seed: int, config: SynthesisConfig) -> None:
    """Now and then somebody else, smaller and to one side, whose points are not ours; in place."""
    random = stream(seed, index, "other")
    if random.random() >= config.background.others:
        return
    frame = (config.camera.frame[0] * _WIDER, config.camera.frame[1] * _WIDER)  # with both shoulders
    alone = replace(
        config, background=replace(config.background, others=0.0), camera=replace(config.camera, frame=frame)
    )
    size = len(image)
    side = int(size * _WIDER * random.uniform(0.35, 0.75))
    other = render(int(random.integers(1 << 40, 1 << 41)), seed, alone, side)
    x = int(size * (0.5 + random.choice([-1, 1]) * random.uniform(0.2, 0.6)) - 0.5 * side)
    y = int(size * random.uniform(0.15, 0.6) - 0.45 * side)
    below = max(0, size - y - side)  # a body goes on below its picture
    seen = cv2.copyMakeBorder((other.segmentation > 0).astype(np.uint8), 0, below, 0, 0, cv2.BORDER_REPLICATE)
    shown = cv2.copyMakeBorder(other.image, 0, below, 0, 0, cv2.BORDER_REPLICATE)
    x0, y0, x1, y1 = max(0, x), max(0, y), min(size, x + side), min(size, y + side + below)
    if x0 >= x1 or y0 >= y1:
        return
    part = np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
    body = seen[part] > 0
    image[y0:y1, x0:x1][body] = ((shown[part].astype(np.float32) / 255) ** 2.2)[body]


def _draw_shape(
    head: Head, config: SynthesisConfig, random: np.random.Generator
) -> tuple[Floats, Brows, Person | None]:
    """An identity: vertices (V, 3) at rest, cm, where the brows lie, and who it is."""
    spread = np.clip(random.normal(0, config.head.identity_sd, len(head.identity)), -3, 3).astype(np.float32)
    stretch = (1 + random.normal(0, config.head.stretch_sd, 3)).astype(np.float32)
    single = random.normal(0, config.head.brow_sd / 2, 5)
    shift = random.normal(0, config.head.brow_sd) + np.concatenate([single, single[::-1]])
    inner, outer = random.normal(0, config.head.brow_ends_sd, 2)
    if head.people is None:
        return head.shape(spread, {}) * stretch, Brows(shift.astype(np.float32), inner, outer), None
    coarse, person = head.people.draw(config.people, random)
    bow = shift[:5] @ _SMOOTH  # photographed strands follow the points, and brows have no corners
    brows = Brows(np.concatenate([bow, bow[::-1]]).astype(np.float32), inner, outer)
    return head.fine(coarse) * stretch, brows, person


def _express(head: Head, vertices: Floats, strength: dict[str, float]) -> Floats:
    rest = head.neutral.reshape(-1)
    moved = head.shape(np.zeros(0, np.float32), strength).reshape(-1) - rest
    shaped = np.asarray(vertices + moved.reshape(-1, 3), np.float32)
    shaped[head.eyeballs, 2] -= _EYE_BACK * strength.get("eyeBlink_L", 0.0)
    return shaped


def _between_lids(head: Head, vertices: Floats, gaze: Floats) -> Floats:
    """The gaze, up or down by so much that pupils lie half as far from where they usually are between their lids: lids
    follow an eye that looks down, and who squints still sees. Eyes that are shut stay as they are."""
    lids = vertices[head.landmarks[36:48], 1].reshape(2, 6)
    upper = lids[:, 1:3].mean()
    opening = upper - lids[:, 4:].mean()
    if opening < _SHUT:
        return gaze
    below = (upper - head.pupils(vertices, gaze)[:, 1].mean()) / opening
    wanted = np.clip(_PUPIL + 0.5 * (below - _PUPIL), 0.05, 0.85)
    up = np.arcsin(gaze[1]) + (below - wanted) * opening / head.eyes[0, 3]
    level = np.hypot(gaze[0], gaze[2])
    return np.array([gaze[0] / level * np.cos(up), np.sin(up), gaze[2] / level * np.cos(up)], np.float32)


def _translucent(normals: Floats, places: Floats) -> Floats:
    """Normals (N, 3) of teeth, nearer to those of the row they stand in: light goes through them, no edge is dark."""
    row = (places - [0, 0, places[:, 2].min()]) * [1, 0, 1] if len(places) else places
    bent = normals + 0.8 * row / (np.linalg.norm(row, axis=1, keepdims=True) + 1e-6)
    return np.asarray(bent / (np.linalg.norm(bent, axis=1, keepdims=True) + 1e-6), np.float32)


def _points(head: Head, vertices: Floats, brows: Brows, gaze: Floats) -> Floats:
    """The 70 points (70, 3) in the head's frame."""
    points = vertices[head.landmarks].copy()
    points[17:27] = brows.at(points[17:27])
    points[68:70] = head.pupils(vertices, gaze)
    return np.asarray(points, np.float32)


def _look_at(landmarks: Floats) -> Floats:
    """The point that the head turns about in the picture: behind the bridge of the nose."""
    middle = landmarks[27:31].mean(axis=0)
    return np.array([0, middle[1], middle[2] * 0.3], np.float32)


def _visibility(points: Floats, depth: Floats, margin: float, around: tuple[int, ...] = (0,)) -> NDArray[np.uint8]:
    """Visible where no surface lies nearer to the camera than the point itself (by `margin` cm), in the frame; the
    farthest surface within so many pixels `around` counts, but nothing is no surface."""
    size = len(depth)
    x, y = np.rint(points[:, :2]).astype(int).T
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    columns, rows = ([np.clip(axis + step, 0, size - 1) for step in around] for axis in (x, y))
    near = np.stack([depth[row, column] for row in rows for column in columns])
    front = np.where(near > _NOWHERE, near, np.float32(1e9)).min(axis=0) if len(near) > 1 else near[0]
    seen = inside & (points[:, 2] > front - margin)
    return np.where(seen, VISIBLE, HIDDEN).astype(np.uint8)


def _covered(points: Floats, classes: NDArray[np.uint8], hand: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Points under hair, headwear, facewear, opaque glasses or a hand."""
    size = len(classes)
    x, y = np.clip(np.rint(points[:, :2]).astype(int), 0, size - 1).T
    under = _COVERS[classes[y, x]]
    return under if hand is None else under | hand[y, x]
