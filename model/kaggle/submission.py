"""IdLookupTable.csv + the models' points → submission.csv of Kaggle's Facial Keypoints; its score where truth is known.

A submission has the columns `RowId,Location`: one coordinate of one test picture a line, in pixels of the 96×96
picture. The score is the root mean square error over the coordinates that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fakeit.model.kaggle.ensemble import Member, predict
from fakeit.pipelines.errors import FakeitError, Rejected
from fakeit.pipelines.files.storage import write_atomically
from fakeit.pipelines.sources.kaggle import SIDE, Kaggle
from fakeit.pipelines.sources.kaggle_tables import LookupEntry, member, read_table

Points = NDArray[np.float32]
LABELS = ("15 points", "4 points")


@dataclass(frozen=True)
class Submission:
    """`values`: RowId → coordinate in [0, 96], for every line of the lookup. `clipped`: how many lay outside."""

    values: dict[int, float]
    clipped: int = 0

    def text(self) -> str:
        lines = [f"{row},{value:.6g}" for row, value in sorted(self.values.items())]
        return "\n".join(["RowId,Location", *lines]) + "\n"


def test_points(members: Sequence[Member], test_file: str, target: str = "kaggle15") -> dict[int, Points]:
    """Image id → (15, 2) predicted points, pixels of the picture.

    Raises:
        FakeitError: a row of the file cannot be read: a submission without it would be void; two have one ImageId.
    """
    source = Kaggle(test_file)
    with must_be_readable():
        samples = source.samples()
        ids = [source.image_id(sample) for sample in samples]
        rows = dict[int, int]()
        for number, image_id in enumerate(ids, 1):
            before = rows.setdefault(image_id, number)
            if before != number:
                raise FakeitError(f"{test_file}, row {number}: ImageId {image_id} is row {before}'s already")
        points, _ = predict(members, [source.image(sample) for sample in samples], target)
    return dict(zip(ids, points, strict=True))


def mean_points(folder: str) -> dict[int, Points]:
    """The floor: for every test picture the mean of all training points that can be read.

    Raises:
        FakeitError: a row of test.csv cannot be read, or no training row can.
    """
    training, test = Kaggle(folder), Kaggle(member(folder, "test.csv"))
    known, reason = [], None
    for sample in training.samples():
        try:
            known.append(training.read(sample).landmarks)
        except Rejected as rejected:  # as preprocessing does: the row is left out
            reason = reason or rejected
    if not known:
        raise FakeitError(f"{folder}: no training row can be read ({reason or 'there is none'})")
    mean = np.nanmean(np.stack(known), axis=0)
    with must_be_readable():
        return {test.image_id(sample): mean for sample in test.samples()}


@contextmanager
def must_be_readable() -> Iterator[None]:
    """What is rejected in here ends the job: a submission without that picture would be void."""
    try:
        yield
    except Rejected as reason:
        raise FakeitError(str(reason)) from reason


def submit(points: Mapping[int, Points], lookup: Sequence[LookupEntry], lookup_file: str) -> Submission:
    """Fills every line of the lookup, clipped to the picture.

    Raises:
        FakeitError: a picture that is asked for was not in the test file, or a prediction that is no number.
    """
    values: dict[int, float] = {}
    clipped = 0
    for number, entry in enumerate(lookup, 1):
        if entry.image_id not in points:
            raise FakeitError(f"{lookup_file}, row {number}: ImageId {entry.image_id} is not in test.csv")
        value = float(points[entry.image_id].reshape(-1)[entry.coordinate])
        if not np.isfinite(value):
            raise FakeitError(f"{lookup_file}, row {number}: the prediction for ImageId {entry.image_id} is {value}")
        clipped += not 0 <= value <= SIDE
        values[entry.row_id] = min(max(value, 0.0), float(SIDE))
    return Submission(values, clipped)


def write_submission(path: str, submission: Submission) -> None:
    """Writes `submission.csv`. Raises FakeitError when that is not possible."""
    try:
        with write_atomically(path) as file:
            file.write(submission.text().encode())
    except OSError as error:
        raise FakeitError(f"output {path}: cannot be written ({error})") from error


def score(submission: Submission, solution_file: str) -> float:
    """The competition's figure: RMSE in pixels of 96 over the coordinates in the solution.

    Raises:
        FakeitError: a line of the solution that the submission lacks, or that holds no number.
    """
    return float(np.sqrt(np.mean([square for _, square in _squares(submission, solution_file)])))


def _squares(submission: Submission, solution_file: str) -> list[tuple[int, float]]:
    """RowId and squared error of every line of a solution. Raises FakeitError (see `score`)."""
    squares = []
    for number, (row_id, location) in enumerate(read_table(solution_file, ("RowId", "Location")), 1):
        try:
            squares.append((int(row_id), (submission.values[int(row_id)] - float(location)) ** 2))
        except KeyError as error:
            raise FakeitError(f"{solution_file}, row {number}: RowId {row_id} is not in the submission") from error
        except ValueError as error:
            raise FakeitError(f"{solution_file}, row {number}: RowId {row_id} with {location!r}: {error}") from error
    if not squares:
        raise FakeitError(f"{solution_file}: no line to score")
    return squares


def score_by_labels(submission: Submission, solution_file: str, lookup: Sequence[LookupEntry]) -> dict[str, float]:
    """The score of each label source apart: pictures of which more than 4 points are asked for, and the others."""
    asked: dict[int, int] = {}
    for entry in lookup:
        asked[entry.image_id] = asked.get(entry.image_id, 0) + 1
    image = {entry.row_id: entry.image_id for entry in lookup}
    squares: dict[str, list[float]] = {label: [] for label in LABELS}
    for row, square in _squares(submission, solution_file):
        kind = LABELS[0] if asked[image[row]] > 8 else LABELS[1]
        squares[kind].append(square)
    return {kind: float(np.sqrt(np.mean(errors))) for kind, errors in squares.items() if errors}
