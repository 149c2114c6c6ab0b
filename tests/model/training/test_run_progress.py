"""The book of a run: means over the steps that were taken, the best epoch, and what a checkpoint brings back."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from fakeit.model.training.loop import StepReport
from fakeit.model.training.progress import Progress


def step(loss: float, weight: float = 1.0, norm: float = 0.0, skipped: bool = False) -> StepReport:
    return StepReport(1, 1, loss, weight, norm, skipped, stop=False, time_up=False, save=False)


def test_means_weigh_rows_and_leave_skipped_steps_out() -> None:
    book = Progress()
    assert book.means() == {"train_loss": 0.0, "gradient_norm": 0.0}
    for report in (step(1.0, 3.0, 2.0), step(5.0, 1.0, 4.0), step(float("nan"), 0.0, float("nan"), skipped=True)):
        book.add(report)
    assert book.means() == {"train_loss": 2.0, "gradient_norm": 3.0, "skipped_steps": 1.0}


def test_the_best_epoch_is_validations_and_survives_a_checkpoint() -> None:
    book = Progress()
    assert book.best_values == {}
    figures = [{"train_loss": 9.0, "val_nme": 0.3}, {"train_loss": 1.0}, {"train_loss": 5.0, "val_nme": 0.2}]
    book.add(step(1.0))
    better = [book.end_epoch(n, values, "nme", validated=True) for n, values in enumerate(figures)]
    assert better == [True, False, True], "an epoch that was not validated is never the best"
    assert book.monitored("nme", validated=True) == [0.3, None, 0.2]
    assert (book.steps, book.loss_sum) == (0, 0.0), "the next epoch's sums begin anew"
    again = Progress(**asdict(book))
    assert again == book and again.best_values == figures[2] and again.best == pytest.approx(0.2)


def test_epochs_are_in_vain_when_a_validation_says_so() -> None:
    book = Progress(session_start=1, history=[{"train_loss": 9.0, "val_nme": 0.1}], best=0.1, best_epoch=0)
    waited = []
    for epoch, nme in enumerate((None, None, 0.3, None, 0.2, None, 0.05, None, 0.06), 1):
        book.end_epoch(epoch, {"train_loss": 1.0} | ({} if nme is None else {"val_nme": nme}), "nme", validated=True)
        waited.append(book.in_vain("nme", validated=True))
    assert waited == [0, 0, 2, 0, 4, 0, 0, 0, 2], "of this session's epochs, after those that were validated"
    assert Progress().in_vain("nme", validated=True) == 0


def test_without_anything_to_validate_on_training_decides() -> None:
    book = Progress()
    better = [book.end_epoch(n, {"train_loss": loss}, "nme", validated=False) for n, loss in enumerate((3.0, 4.0, 2.0))]
    assert better == [True, False, True] and book.best_epoch == 2
