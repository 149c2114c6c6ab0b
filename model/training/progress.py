"""What a run knows of itself beside its weights: sums of the epoch under way, what each epoch came to, which was the
best. Plain values, kept in the checkpoint, so that a resumed run goes on counting where it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from fakeit.model.training.loop import StepReport


@dataclass
class Progress:
    """The run's book; its fields are what checkpoints hold.

    Attributes:
        history: the figures of each epoch that is over, of all sessions.
        best, best_epoch: the lowest monitored figure and whose it was; -1: none yet.
        loss_sum, weight_sum, norm_sum, steps, skipped: of the epoch under way; norms are gradients'.
        session_start: first epoch of the session.
        seconds: of the whole run, which train.minutes limits; rank 0's.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: float = float("inf")
    best_epoch: int = -1
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    norm_sum: float = 0.0
    steps: int = 0
    skipped: int = 0
    session_start: int = 0
    seconds: float = 0.0

    def add(self, step: StepReport) -> None:
        """Counts a step; one that was not taken has no loss."""
        self.steps, self.skipped = self.steps + 1, self.skipped + step.skipped
        if not step.skipped:
            self.loss_sum += step.loss * step.weight
            self.weight_sum += step.weight
            self.norm_sum += step.gradient_norm

    def means(self) -> dict[str, float]:
        """Training's figures of the epoch under way."""
        values = {"train_loss": self.loss_sum / max(self.weight_sum, 1e-9)}
        values["gradient_norm"] = self.norm_sum / max(self.steps - self.skipped, 1)
        return values | ({"skipped_steps": float(self.skipped)} if self.skipped else {})

    def end_epoch(self, epoch: int, values: dict[str, float], monitor: str, validated: bool) -> bool:
        """Puts an epoch's figures down and begins the sums of the next; whether it is the best so far.

        Args:
            epoch: which one is over.
            values: its figures.
            monitor, validated: see `monitored`.
        """
        self.history.append(values)
        figure = self.monitored(monitor, validated)[-1]
        better = figure is not None and figure < self.best
        if better:
            self.best, self.best_epoch = float(figure or 0.0), epoch
        self.loss_sum = self.weight_sum = self.norm_sum = 0.0
        self.steps = self.skipped = 0
        return better

    def monitored(self, figure: str, validated: bool) -> list[float | None]:
        """The figure that chooses the best epoch, after each epoch: validation's, None where one was not validated;
        the training loss only where there is nothing to validate on (`validated` is False)."""
        return [each.get(f"val_{figure}") if validated else each["train_loss"] for each in self.history]

    def in_vain(self, monitor: str, validated: bool) -> int:
        """Epochs of this session since its best one, as far as they were judged: one that was not validated passes, and
        only the next validation can tell whether in vain."""
        figures = self.monitored(monitor, validated)
        if not figures or figures[-1] is None:
            return 0
        return len(figures) - 1 - max(self.best_epoch, self.session_start)

    @property
    def best_values(self) -> dict[str, float]:
        """The best epoch's figures; none where no epoch is over."""
        return self.history[self.best_epoch] if self.best_epoch >= 0 else {}
