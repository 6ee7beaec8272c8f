"""The report's tables, and how it writes numbers."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from overread_learn.evaluate.curves import Interval, Summary
from overread_learn.experiment.report.markup import Markup, tag
from overread_learn.experiment.report.tried import REFERENCE, Tried

__all__ = ["Cell", "auc_table", "percent", "positives_table", "summary_table", "table"]

_NEVER = "never"


class Cell(NamedTuple):
    """A table's field: what is read, and the number that it is sorted by."""

    shown: str
    value: float | None = None


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]], *, sortable: bool = True) -> Markup:
    """Return a table in a box that scrolls; the first field of each row is its heading."""
    body = (tag("tr", tag("th", row[0].shown, scope="row"), *(_field(cell) for cell in row[1:])) for row in rows)
    heading = tag("tr", *(tag("th", name, scope="col") for name in head))
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", heading),
        tag("tbody", *body),
        class_="sortable" if sortable else None,
    )
    # Who moves by the keyboard can scroll a box only if it takes the focus.
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _field(cell: Cell) -> Markup:
    value = None if cell.value is None or math.isinf(cell.value) else f"{cell.value:.6g}"
    return tag("td", cell.shown, data_value="1e99" if value is None and cell.value is not None else value)


def percent(share: float) -> str:
    """Write a share as per cent, with a decimal where there is less than ten."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%" if share < 0.1 else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def summary_table(strategies: Sequence[Tried]) -> Markup:
    """Tabulate the summaries of those that have one; intervals hold 95 %."""
    rows = [_summary(one, one.summary) for one in strategies if one.summary]
    return table(
        f"Labels to reach the AUC that {REFERENCE} has with all of its own, and area under the learning curve (ALC, "
        "largest first; log2: each doubling of the labels counts alike); in brackets 95 % intervals. Each strategy is "
        f"held against {REFERENCE}'s runs of its own seeds, where those were run",
        (
            *("strategy", "seeds", "labels to reach", f"ratio to {REFERENCE}"),
            *("ALC", f"ALC - {REFERENCE}'s", "ALC, log2", f"ALC, log2 - {REFERENCE}'s"),
        ),
        rows,
    )


def _summary(one: Tried, summary: Summary) -> list[Cell]:
    reach, ratio = summary.labels_to_reach, summary.ratio_to_random
    within = "no interval"
    if summary.ratio_interval is not None:
        lower, upper = ("above 1" if end is None else f"{end:.2f}" for end in summary.ratio_interval)
        within = f"{lower} to {upper}"
    return [
        Cell(one.name),
        Cell(str(len(one.runs)), len(one.runs)),
        Cell(_NEVER if reach is None else f"{reach:.0f}", math.inf if reach is None else reach),
        Cell(
            f"{'above 1' if ratio is None else f'{ratio:.2f}'} ({within})",
            math.inf if ratio is None else ratio,
        ),
        _area(summary.alc, summary.alc_interval, ""),
        _area(summary.alc_minus_random, summary.alc_minus_random_interval, "+"),
        _area(summary.alc_log2, summary.alc_log2_interval, ""),
        _area(summary.alc_log2_minus_random, summary.alc_log2_minus_random_interval, "+"),
    ]


def _area(value: float, interval: Interval, sign: str) -> Cell:
    if interval is None:
        return Cell(f"{value:{sign}.3f} (no interval)", value)
    lower, upper = interval
    return Cell(f"{value:{sign}.3f} ({lower:{sign}.3f} to {upper:{sign}.3f})", value)


def auc_table(strategies: Sequence[Tried]) -> Markup:
    """Tabulate the test AUC after each step: the seeds' mean, and their range where there are several."""

    def shown(values: Sequence[float]) -> str:
        mean = f"{np.mean(values):.3f}"
        return f"{mean} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else mean

    return _steps("Test AUC by labels: mean of the seeds (worst to best)", "auc", strategies, shown)


def positives_table(strategies: Sequence[Tried]) -> Markup:
    """Tabulate how many of the labels so far are positive: the mean of the seeds."""
    return _steps(
        "Positives among the labels, mean of the seeds",
        "positives",
        strategies,
        lambda values: f"{np.mean(values):.1f}",
    )


def _steps(caption: str, key: str, strategies: Sequence[Tried], shown: Callable[[Sequence[float]], str]) -> Markup:
    steps = sorted({labels for one in strategies for labels in one.labels})
    rows = []
    for one in strategies:
        values = dict(zip(one.labels, one.each(key).T.tolist(), strict=True))
        cells = (Cell(shown(values[at]), float(np.mean(values[at]))) if at in values else Cell("") for at in steps)
        rows.append([Cell(one.name), *cells])
    return table(caption, ("strategy", *map(str, steps)), rows)
