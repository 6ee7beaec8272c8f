"""The report's drawings, as SVG that stands in the page itself: learning curves and histograms."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overread_learn.evaluate.curves import Axis
from overread_learn.experiment.report.markup import Markup, joined, tag
from overread_learn.experiment.report.tried import REFERENCE, Tried

__all__ = ["histogram", "learning_curves", "stroke"]

_WIDTH, _HEIGHT = 480, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 16, 12, 42
_HUES = 8
_DASHES = ("none", "7 3", "2 3")
_TICKS_APART = 30
"""Least distance of two numbers below the axis, in units of the drawing."""


def stroke(one: Tried) -> str:
    """Return a strategy's line as CSS: a hue and a dash of its own; the reference is drawn as text is."""
    if one.name == REFERENCE:
        return "--line: var(--text); --dash: none"
    return f"--line: var(--hue-{one.number % _HUES}); --dash: {_DASHES[one.number // _HUES % len(_DASHES)]}"


def learning_curves(strategies: Sequence[Tried], axis: Axis, target: float | None) -> Markup:
    """Draw each strategy's mean test AUC against labels, with a band from its worst seed to its best.

    ``target`` is drawn as a level line: the reference's mean AUC at its full budget.
    """
    plane = _Plane(strategies, axis)
    scale = "each doubling alike" if axis == "log2" else "evenly"
    described = (
        f"{len(strategies)} strategies, one line each. Labels are spaced {scale}, from {min(plane.labels)} to "
        f"{max(plane.labels)}; the AUC axis runs from {plane.low:.2f} to {plane.high:.2f}. "
        "The table below holds the numbers."
    )
    level: tuple[Markup, ...] = ()
    if target is not None:
        y = plane.y(target)
        level = (
            tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="level"),
            tag("text", f"{REFERENCE}, all labels: {target:.3f}", x=_LEFT + 4, y=round(y - 4, 1)),
        )
    return tag(
        "svg",
        tag("title", f"Test AUC against labels, {axis} axis"),
        tag("desc", described),
        plane.grid(),
        *level,
        *(_curve(one, plane) for one in strategies),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        class_="curves",
    )


class _Plane:
    """Where labels and AUCs lie in the drawing."""

    def __init__(self, strategies: Sequence[Tried], axis: Axis) -> None:
        self._axis = axis
        self.labels = sorted({labels for one in strategies for labels in one.labels})
        aucs = np.concatenate([one.each("auc").ravel() for one in strategies])
        # Whole steps below and above, and at least one step high.
        self.step = next(step for step in (0.01, 0.02, 0.05, 0.1) if step == 0.1 or np.ptp(aucs) <= 8 * step)
        self.low = math.floor(float(aucs.min()) / self.step) * self.step
        self.high = max(min(1.0, math.ceil(float(aucs.max()) / self.step) * self.step), self.low + self.step)

    def x(self, labels: float) -> float:
        at, first, last = (
            math.log2(n) if self._axis == "log2" else n for n in (labels, self.labels[0], self.labels[-1])
        )
        # A single step stands in the middle.
        share = (at - first) / (last - first) if last > first else 0.5
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, auc: float) -> float:
        return round(_TOP + (self.high - auc) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    def path(self, labels: Sequence[float], aucs: NDArray[np.float64]) -> str:
        return " ".join(f"{self.x(at)},{self.y(float(auc))}" for at, auc in zip(labels, aucs, strict=True))

    def grid(self) -> Markup:
        floor = _HEIGHT - _BOTTOM
        parts = []
        for number in range(round((self.high - self.low) / self.step) + 1):
            auc = self.low + number * self.step
            parts.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=self.y(auc), y2=self.y(auc)))
            parts.append(tag("text", f"{auc:.2f}", x=_LEFT - 5, y=self.y(auc) + 4, class_="end"))
        last = -math.inf
        for labels in self.labels:
            x = self.x(labels)
            parts.append(tag("line", x1=x, x2=x, y1=floor, y2=floor + 4, class_="tick"))
            if x - last >= _TICKS_APART:
                parts.append(tag("text", labels, x=x, y=floor + 17, class_="middle"))
                last = x
        parts.append(tag("text", "labels", x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, class_="middle"))
        return tag("g", *parts, class_="grid")


def _curve(one: Tried, plane: _Plane) -> Markup:
    aucs = one.each("auc")
    mean = aucs.mean(axis=0)
    band = Markup()
    if len(aucs) > 1:
        there, back = plane.path(one.labels, aucs.max(axis=0)), plane.path(one.labels[::-1], aucs.min(axis=0)[::-1])
        band = tag("polygon", points=f"{there} {back}", class_="band")
    points = (
        tag("circle", cx=plane.x(at), cy=plane.y(float(auc)), r=2.2) for at, auc in zip(one.labels, mean, strict=True)
    )
    line = tag("polyline", points=plane.path(one.labels, mean))
    return tag("g", tag("title", one.name), band, line, *points, data_curve=one.number, style=stroke(one))


def histogram(counts: Sequence[int], title: str) -> Markup:
    """Draw how many patches got which probability, in bins of equal width from 0 to 1."""
    width, height, floor = 150, 64, 50
    most = max([*counts, 1])
    bar = width / len(counts)
    bars = (
        tag(
            "rect",
            x=round(number * bar + 1, 1),
            y=round(floor - floor * count / most, 1),
            width=round(bar - 2, 1),
            height=round(floor * count / most, 1),
        )
        for number, count in enumerate(counts)
    )
    edges = joined(tag("text", "0", x=1, y=height - 2), tag("text", "1", x=width - 1, y=height - 2, class_="end"))
    return tag(
        "svg",
        tag("title", title),
        tag("desc", f"Patches in {len(counts)} bins from 0 to 1: {', '.join(map(str, counts))}"),
        tag("line", x1=0, x2=width, y1=floor, y2=floor),
        *bars,
        edges,
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="histogram",
    )
