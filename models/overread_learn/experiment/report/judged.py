"""A model's verdict as a page: its figures, and its ROC, precision-recall, FROC and reliability curves."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread_learn.evaluate.froc import CPM_RATES
from overread_learn.experiment.report.document import document
from overread_learn.experiment.report.markup import Markup, tag
from overread_learn.experiment.report.tables import Cell, table

__all__ = ["judged"]

_WIDTH, _HEIGHT = 480, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 12, 42
_HUES = 8
_FEW = 15
"""Places that are drawn as dots too: bins are places, and of one alone there is no line."""
_QUARTERS = tuple((share, f"{share:g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0))

Line = tuple[str, NDArray[np.float64], NDArray[np.float64]]
"""What is drawn, and where: (points,) each, in 0..1 of the axes."""


def judged(
    title: str,
    facts: Mapping[str, Any],
    tables: Iterable[tuple[str, Sequence[Mapping[str, Any]]]],
    notes: Iterable[str] = (),
) -> str:
    """Return the page.

    ``facts`` are those of `overread_learn.evaluate.verdict`, ``tables`` captions and their rows; ``notes`` say what is
    missing from them.
    """
    curves = facts["curves"]
    each = [(one["class"], one["curves"]) for one in facts.get("classes", ()) if "curves" in one]
    each = each or [("", curves)]
    roc = [(name, *_shares(own["roc"], "fpr", "tpr")) for name, own in each]
    precise = [(name, *_steps(*_shares(own["precision_recall"], "recall", "precision"))) for name, own in each]
    bins = [
        (
            "",
            np.array([one["predicted"] for one in curves["reliability"]]),
            np.array([one["observed"] for one in curves["reliability"]]),
        )
    ]
    places = np.linspace(0, 1, len(CPM_RATES))
    rates = [
        (place, f"{rate:g}" if rate >= 1 else f"1/{1 / rate:g}") for place, rate in zip(places, CPM_RATES, strict=True)
    ]
    drawn = (
        _roc(facts, roc),
        _figure("Precision: share of the called that are positive", "recall", precise, _QUARTERS, level=False),
        _figure(
            "FROC: share of the lesions found", "false alarms an image", [_froc(curves["froc"])], rates, level=False
        ),
        _figure("Reliability: share that was right", "how sure of the class", bins, _QUARTERS, level=True),
    )
    body = tag(
        "main",
        tag("h1", title),
        tag("div", *drawn, class_="pair"),
        *(_tabled(caption, rows) for caption, rows in tables),
        *(tag("p", note) for note in notes),
    )
    return document(title, body)


def _roc(facts: Mapping[str, Any], lines: Sequence[Line]) -> Markup:
    """Draw the ROC curves; of two classes there is one, and on it a dot where candidates are called positive."""
    title, mark = "ROC: share of the positives called", None
    if "classes" not in facts:
        title += f"; the dot is where a probability of {facts['operating_point']:g} is enough"
        mark = (1 - facts["specificity"], facts["sensitivity"])
    return _figure(title, "false-positive rate", lines, _QUARTERS, level=True, mark=mark)


def _shares(points: Mapping[str, ArrayLike], x: str, y: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.asarray(points[x], np.float64), np.asarray(points[y], np.float64)


def _steps(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a curve as steps, whose area is the average precision: straight lines would flatter."""
    return np.repeat(x, 2)[:-1], np.repeat(y, 2)[1:]


def _froc(points: Mapping[str, ArrayLike]) -> Line:
    """Place a FROC curve on an axis from first to last of `CPM_RATES`, each doubling alike; lines as in `cpm`."""
    alarms, found = _shares(points, "false_alarms", "sensitivity")
    first, last = CPM_RATES[0], CPM_RATES[-1]
    at = np.unique(np.concatenate([np.geomspace(first, last, 200), alarms[(alarms > first) & (alarms < last)]]))
    return "", np.log2(at / first) / np.log2(last / first), np.interp(at, alarms, found)


def _figure(
    title: str,
    below: str,
    lines: Sequence[Line],
    ticks: Sequence[tuple[float, str]],
    *,
    level: bool,
    mark: tuple[float, float] | None = None,
) -> Markup:
    """Draw lines in a square of shares, and perhaps a dot.

    ``level`` is the diagonal: what tells nothing, or what is as it says.
    """
    floor, edge = _y(0), _x(1)
    grid = [tag("line", x1=_LEFT, x2=edge, y1=_y(share), y2=_y(share)) for share, _ in _QUARTERS]
    grid += [tag("text", word, x=_LEFT - 5, y=_y(share) + 4, class_="end") for share, word in _QUARTERS]
    grid += [tag("line", x1=_x(at), x2=_x(at), y1=floor, y2=floor + 4, class_="tick") for at, _ in ticks]
    grid += [tag("text", word, x=_x(at), y=floor + 17, class_="middle") for at, word in ticks]
    grid.append(tag("text", below, x=(_LEFT + edge) / 2, y=_HEIGHT - 6, class_="middle"))
    diagonal = [tag("line", x1=_x(0), x2=edge, y1=floor, y2=_y(1), class_="level")] if level else []
    curves = [_curve(number, line) for number, line in enumerate(lines)]
    dots = [tag("circle", cx=_x(mark[0]), cy=_y(mark[1]), r=5, class_="mark")] if mark else []
    named = [name for name, _, _ in lines if name]
    svg = tag(
        "svg",
        tag("title", title),
        tag("desc", f"{len(lines)} curves{': ' if named else ''}{', '.join(named)}. `--json` holds the points."),
        tag("g", *grid, class_="grid"),
        *diagonal,
        *curves,
        *dots,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        class_="curves",
    )
    legend = [tag("li", name, style=f"color: var(--hue-{number % _HUES})") for number, name in enumerate(named)]
    return tag("figure", svg, tag("figcaption", title), *([tag("ul", *legend, class_="legend")] if legend else []))


def _curve(number: int, line: Line) -> Markup:
    name, x, y = line
    # Points that fall on one place are drawn once: a large set has more than a page can hold.
    places = [place for place, _ in groupby((_x(a), _y(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True))]
    path = tag("polyline", points=" ".join(f"{a},{b}" for a, b in places))
    dots = [tag("circle", cx=a, cy=b, r=3) for a, b in places] if len(places) <= _FEW else []
    return tag("g", tag("title", name), path, *dots, style=f"--line: var(--hue-{number % _HUES}); --dash: none")


def _x(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM), 1)


def _tabled(caption: str, rows: Sequence[Mapping[str, Any]]) -> Markup:
    def shown(value: Any) -> str:
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    return table(
        caption, list(rows[0]), ([Cell(shown(value)) for value in row.values()] for row in rows), sortable=False
    )
