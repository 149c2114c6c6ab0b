"""What a comparison says, in a sentence that is worked out from its figures, and says no more than the seeds allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fakeit.model.comparison.rows import Floats, Row, Spread
from fakeit.model.comparison.scaling import Interval, PowerLaw

NAMED = 4  # so many rows are listed by name, others are counted


def leader(rows: Sequence[Row], figures: Mapping[str, Floats], spread: Spread, what: str, budget: str) -> str:
    """Which row is best. `rows`: best first, as they were chosen; `figures`: name → NME % a seed, of what is told."""
    best, others = rows[0], rows[1:]
    told = f"{_percent(figures[best.name])} {what}"
    if not others:
        return f"After {budget}, only {best.name} was trained so far: {told}."
    if not spread.freedom:
        listed = ", ".join(f"{row.name} {_percent(figures[row.name])}" for row in others[:NAMED])
        return (
            f"After {budget}, {best.name} leads on validation faces: {told}, then {listed}; with one seed nothing can "
            "be called better than anything else."
        )
    alike = [row for row in others if not spread.worse(figures[row.name], figures[best.name])]
    least = f"{100 * np.expm1(spread.least(_seeds(rows, figures), _seeds(rows, figures))):.0f} %"
    if not alike:
        following = min(others, key=lambda row: float(np.mean(figures[row.name])))
        return (
            f"After {budget}, {best.name} is best ({told}), ahead of {following.name} "
            f"({_percent(figures[following.name])}) by more than the seeds' spread (differences below {least})."
        )
    return (
        f"After {budget}, {best.name} leads ({told}), but {_listed([row.name for row in alike])} "
        f"{'is' if len(alike) == 1 else 'are'} not told apart from it: seeds alone make differences up to {least}."
    )


def against(
    rows: Sequence[Row], figures: Mapping[str, Floats], spread: Spread, what: str, budget: str, base: Row
) -> str:
    """What each change does to a baseline."""
    others = [row for row in rows if row is not base]
    if not others:
        return f"Only {base.name} was trained so far ({_percent(figures[base.name])} {what})."
    change = {row.name: float(np.log(figures[row.name]).mean() - np.log(figures[base.name]).mean()) for row in others}
    told = f"After {budget}, {base.name} has {_percent(figures[base.name])} {what}"
    ordered = sorted(change, key=lambda name: change[name])
    if not spread.freedom:
        lowest, highest = ordered[0], ordered[-1]
        return (
            f"{told}; from {lowest} ({_signed(change[lowest])}) to {highest} ({_signed(change[highest])}), but with "
            "one seed nothing can be called better or worse."
        )
    worse = [n for n in reversed(ordered) if spread.worse(figures[n], figures[base.name])]
    better = [n for n in ordered if spread.worse(figures[base.name], figures[n])]
    parts = []
    if better:
        parts.append("better are " + _listed([f"{n} ({_signed(change[n])})" for n in better]))
    if worse:
        parts.append("worse are " + _listed([f"{n} ({_signed(change[n])})" for n in worse]))
    rest = len(others) - len(worse) - len(better)
    if rest:
        least = 100 * np.expm1(spread.least(_seeds(rows, figures), _seeds(rows, figures)))
        parts.append(f"{rest} of {len(others)} changes make no difference beyond the seeds' spread (±{least:.0f} %)")
    return f"{told}; {'; '.join(parts)}."


def sizes(laws: Mapping[str, PowerLaw], budget: str, far: float) -> str:
    """What more images buy, each network's law in words. `far`: a size that was not tried."""
    parts = []
    for name, law in laws.items():
        bought, left = law.next_doubling(), _interval(law.at(far), 1, ".1f")
        told = f"take away {_interval(bought, 100, 'z.0f')} % of {name}'s error"
        told += ", which cannot be told from nothing" if bought.low <= 0 <= bought.high else ""
        bound = "" if law.floor.any() else " or more, since no floor could be fitted"
        parts.append(f"twice as many as {law.sizes.max():,.0f} {told}; {far:,.0f} would leave {left} %{bound}")
    times = far / max(law.sizes.max() for law in laws.values())
    return (
        f"After {budget}, {'; '.join(parts)} ({times:,.0f} times the largest size tried: a law's word, not a "
        "measurement; in brackets 80 %)."
    )


def _seeds(rows: Sequence[Row], figures: Mapping[str, Floats]) -> int:
    """Seeds of the row that has fewest."""
    return min(len(figures[row.name]) for row in rows)


def _percent(figures: Floats) -> str:
    deviation = f" ± {np.std(figures, ddof=1):.2f}" if len(figures) > 1 else ""
    return f"{np.mean(figures):.2f}{deviation} %"


def _signed(change: float) -> str:
    return f"{100 * np.expm1(change):+.0f} %"


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:NAMED])
    if len(names) > NAMED:
        shown.append(f"{len(names) - NAMED} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _interval(found: Interval, factor: float, form: str) -> str:
    return f"{factor * found.middle:{form}} ({factor * found.low:{form}} … {factor * found.high:{form}})"
