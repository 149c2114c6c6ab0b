"""What others have published, to stand beside our figures, with what differs named. Data, nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One table of the literature."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


BASELINES_BY_SIZE = Published(
    "Published baselines: validation MSE by training images",
    ("network", "2,000", "5,000", "10,000"),
    (
        ("own small Xception", "7.1e-04", "1.04e-04", "3.2e-05"),
        ("Xception", "9.2e-04", "1.06e-04", "3.3e-05"),
        ("ResNet-50", "1.2e-03", "1.83e-04", "7.2e-05"),
        ("MobileNetV2", "4.6e-04", "2.34e-04", "6.4e-05"),
    ),
    "Microsoft Face Synthetics, 128 px, mean squared error of coordinates in units of the crop's side. Theirs divide "
    "the loss of one validation batch by the number of batches, so the figures flatter by about that factor, and more "
    "for larger sets, since their validation sets grow with the training set; augmented images were validated "
    "too. Ours "
    "weigh every coordinate of every validation face alike, the same faces for every size, never augmented. The two "
    "cannot be compared number by number; the order of networks and the slope over sizes can, with care.",
)
BASELINES = Published(
    "Published baselines: the small Xception, MSE",
    ("network", "train", "validation", "test"),
    (
        ("own small Xception", "7.8e-04", "7.0e-05", "2.7e-03 (real faces)"),
        ("the same, real images mixed in", "–", "–", "1.9e-03 (real faces)"),
    ),
    "Their validation error is a tenth of their training error: the flaw named above. Their test faces are real "
    "photographs; our test column is unseen rendered faces, and real faces stand in columns of their own.",
)
NME = Published(
    "Published NME on 300-W, % of the inter-ocular distance",
    ("method", "common", "challenging"),
    (
        ("STAR (CVPR 2023), real training images", "2.52", "4.32"),
        ("Fake It Till You Make It, synthetic only, label adaptation", "3.09", "4.86"),
        ("the same, real training images", "3.37", "5.77"),
        ("the same, synthetic, without augmentation", "4.25", "7.87"),
        ("the same, synthetic, without label adaptation", "5.61", "8.43"),
    ),
    "Larger networks, 100,000 images, 256 px and more: the goal, not a like for like.",
)
