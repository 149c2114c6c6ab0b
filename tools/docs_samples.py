"""Small stand-ins of the names that the documentation's commands use, for running them as written (check_docs.py).

All faces are rendered: FACES as `jobs/synthesize.py` writes it, and the other formats from its labels, so that every
reader has something in its own form. A dataset and a network of one epoch are made of them.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeit.pipelines.errors import FakeitError

COUNT, SIZE = 64, 256


def make_samples(clone: Path) -> None:
    """Makes what is missing of the stand-ins in the root of `clone`."""
    kept = clone.parent / "samples"
    if not (kept / "best.onnx").exists():
        kept.mkdir(parents=True, exist_ok=True)
        model(clone, kept)
    faces = read_faces(kept / "FACES")
    for name, of in {"FACES": "FACES", "DATASET": "DATASET", "RUN": "RUN", "HELD": "FACES"}.items():
        if not (clone / name).exists():
            shutil.copytree(kept / of, clone / name)
    for name in ("best.pt", "best.onnx"):
        shutil.copy(kept / name, clone / name)
    if not (clone / "KAGGLE").exists():
        formats(clone, faces)
        places(clone, faces)
        own_points(clone, faces)


def job(clone: Path, *words: str) -> None:
    made = subprocess.run([sys.executable, *words], cwd=clone, capture_output=True, text=True)
    if made.returncode:
        raise FakeitError(f"the stand-ins could not be made: {' '.join(words)}: {made.stderr.strip()[-500:]}")


def model(clone: Path, kept: Path) -> None:
    """FACES → DATASET → RUN, best.pt and best.onnx."""
    size = ("--count", str(COUNT), "--size", str(SIZE), "--seed", "5", "--workers", "2")
    job(clone, "jobs/synthesize.py", *size, "--output", str(kept / "FACES"))
    prepare = ("--config", "conf/preprocess/demo.toml", "--input", str(kept / "FACES"))
    job(clone, "jobs/preprocess.py", *prepare, "--output", str(kept / "DATASET"), "--workers", "2")
    train = ("--config", "conf/train/demo.toml", "--dataset", str(kept / "DATASET"), "--set", "train.epochs=4")
    job(clone, "jobs/train.py", *train, "--output", str(kept / "RUN"))
    shutil.copy(kept / "RUN" / "checkpoints" / "best.pt", kept / "best.pt")
    job(clone, "jobs/export.py", "--model", str(kept / "best.pt"), "--output", str(kept / "best.onnx"))


def read_faces(folder: Path) -> list[tuple[Path, NDArray[np.float64]]]:
    """Pictures and their first 68 points, source pixels."""
    pictures = sorted(p for p in folder.glob("*.png") if p.stem.isdigit())
    return [(p, np.loadtxt(p.with_name(f"{p.stem}_ldmks.txt"))[:68]) for p in pictures]


def as_jpeg(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), cv2.imread(str(source)), [cv2.IMWRITE_JPEG_QUALITY, 95])


def formats(clone: Path, faces: list[tuple[Path, NDArray[np.float64]]]) -> None:
    """The faces as 300-W, as YouTube Faces' table, as FFHQ's folders, as Kaggle's files."""
    for number, (picture, points) in enumerate(faces):
        part = ("helen/testset", "lfpw/testset", "ibug")[number % 3]
        for folder in (clone / "300W" / part, clone / "AFW"):
            as_jpeg(picture, folder / f"{picture.stem}.jpg")
            rows = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points)  # .pts count from 1
            (folder / f"{picture.stem}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
        as_jpeg(picture, clone / "FFHQ" / "00000" / f"{number:05d}.jpg")
        as_jpeg(picture, clone / "YOUTUBE_FACES" / "images" / f"person{number // 4}_{number}.jpg")
    with (clone / "YOUTUBE_FACES" / "keypoints.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", *(f"{axis}{k}" for k in range(68) for axis in "xy")])
        for number, (_, points) in enumerate(faces):
            table.writerow([f"person{number // 4}_{number}.jpg", *points.ravel().round(2)])
    made = clone.parent / "samples" / "KAGGLE"  # the tool refuses to write such pictures into a checkout
    job(clone, "tools/make_kaggle_set.py", "--full", "AFW", "--four", "YOUTUBE_FACES", "--output", str(made))
    shutil.copytree(made, clone / "KAGGLE")


def own_points(clone: Path, faces: list[tuple[Path, NDArray[np.float64]]]) -> None:
    """Pictures with three points of somebody's own (docs/own_points.md): as a table, and as CVAT exports them."""
    names = {"left_eye": 36, "right_eye": 45, "nose": 30}
    pairs = 'mirror = [["left_eye", "right_eye"]]\nlines = [["left_eye", "nose", "right_eye"]]\n'
    (clone / "scheme.toml").write_text(f'name = "cat"\npoints = {list(names)}\n{pairs}')
    rows, export = ["image,x0,y0,x1,y1,x2,y2"], ["<annotations>"]
    for picture, points in faces:
        as_jpeg(picture, clone / "PICTURES" / f"{picture.stem}.jpg")
        places = {name: points[index] for name, index in names.items()}
        rows.append(",".join([f"{picture.stem}.jpg", *(f"{value:.2f}" for xy in places.values() for value in xy)]))
        said = "".join(f'<points label="{n}" points="{x + 0.5:.2f},{y + 0.5:.2f}"/>' for n, (x, y) in places.items())
        export.append(f'<image name="{picture.stem}.jpg" width="{SIZE}" height="{SIZE}">{said}</image>')
    (clone / "PICTURES" / "points.csv").write_text("\n".join(rows) + "\n")
    (clone / "PICTURES" / "export.xml").write_text("\n".join([*export, "</annotations>\n"]))
    as_jpeg(faces[0][0], clone / "new.jpg")


def places(clone: Path, faces: list[tuple[Path, NDArray[np.float64]]]) -> None:
    """Pictures where people keep them: folders, single files, an archive, a video, a table of boxes."""
    example = clone / "docs" / "browser" / "example.jpg"
    sheet = cv2.imread(str(example))
    three = [sheet[:, n * sheet.shape[0] : (n + 1) * sheet.shape[0]] for n in range(3)]
    for folder in ("PHOTOS", "photos", "a"):
        (clone / folder).mkdir(exist_ok=True)
        for name, face in zip(("one", "two", "three"), three, strict=True):
            cv2.imwrite(str(clone / folder / f"{name}.jpg"), face)
    for name, face in zip(("me.jpg", "other.jpg", "street.jpg", "a.jpg", "b.jpg"), [*three, *three[:2]], strict=True):
        cv2.imwrite(str(clone / name), face)
    shutil.copy(example, clone / "photo.jpg")
    cv2.imwrite(str(clone / "b.png"), three[0])
    with zipfile.ZipFile(clone / "archive.zip", "w") as archive:
        archive.write(clone / "photos" / "two.jpg", "two.jpg")
    rows = [f"{name},100,130,190,190" for name in ("one.jpg", "two.jpg", "three.jpg", "b.png")]
    (clone / "boxes.csv").write_text("\n".join(["image,x,y,width,height", *rows]) + "\n")
    video = cv2.VideoWriter(str(clone / "talk.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (400, 400))
    for frame in range(12):
        video.write(np.roll(three[0], 2 * frame, axis=1))
    video.release()
