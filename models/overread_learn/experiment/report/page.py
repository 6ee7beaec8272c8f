"""The report's page: what was compared, what came of it, what was picked, and what nobody can conclude from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from overread_learn.evaluate.curves import Summary
from overread_learn.experiment.material import Material
from overread_learn.experiment.protocol import Protocol
from overread_learn.experiment.report.document import document, own
from overread_learn.experiment.report.figures import learning_curves, stroke
from overread_learn.experiment.report.markup import Markup, tag
from overread_learn.experiment.report.picks import Picks
from overread_learn.experiment.report.tables import auc_table, positives_table, summary_table
from overread_learn.experiment.report.tried import REFERENCE, Run, Tried, tried
from overread_learn.experiment.report.words import conditions, limits, outcome

__all__ = ["report"]


def report(
    runs: Sequence[Run], summaries: Mapping[str, Summary], material: Material, protocol: Protocol, path: Path
) -> Path:
    """Write a comparison's report: one HTML file that asks nothing of the network; returns ``path``.

    ``runs`` are those of `overread_learn.experiment.comparison.Comparison`, ``summaries`` those of
    `overread_learn.experiment.results.summaries` (empty where ``random`` was not run). It opens with the strategy of
    the largest area under the learning curve. Pictures are of the lowest seed's picks.

    Raises ValueError where there is no run, KeyError where a run picked what the material does not hold.
    """
    strategies = tried(runs, summaries)
    picks = Picks(strategies, material)
    title = f"{material.application.name}: {len(strategies)} strategies of choosing labels"
    body = (
        picks.album.definitions(),
        tag(
            "main",
            tag("h1", title),
            *(tag("p", sentence, class_="outcome") for sentence in outcome(strategies)),
            tag(
                "dl", *(pair for name, text in conditions(strategies, material, protocol) for pair in _pair(name, text))
            ),
            *_curves(strategies),
            tag("h2", "What was picked"),
            *picks.legend(),
            *(picks.section(one) for one in strategies),
            tag("h2", "What this report can't know"),
            tag("ul", *(tag("li", limit) for limit in limits(strategies, material, protocol)), class_="limits"),
        ),
        tag("script", own("page.js")),
    )
    path.write_text(document(title, *body), encoding="utf-8")
    return path


def _pair(name: str, text: str) -> tuple[Markup, Markup]:
    return tag("dt", name), tag("dd", text)


def _curves(strategies: Sequence[Tried]) -> list[Markup]:
    reference = next((one for one in strategies if one.name == REFERENCE), None)
    target = None if reference is None else float(np.mean(reference.each("auc")[:, -1]))
    return [
        tag("h2", "Learning curves"),
        _switches(strategies),
        tag(
            "div",
            tag(
                "figure",
                learning_curves(strategies, "linear", target),
                tag("figcaption", "Labels evenly spaced. Lines: mean of the seeds; bands: worst to best seed."),
            ),
            tag(
                "figure",
                learning_curves(strategies, "log2", target),
                tag("figcaption", "The same, each doubling of the labels alike: the first rounds in detail."),
            ),
            class_="pair",
        ),
        auc_table(strategies),
        tag("h2", "Labels saved"),
        summary_table(strategies) if any(one.summary for one in strategies) else tag("p", _NO_REFERENCE),
        positives_table(strategies),
    ]


_NO_REFERENCE = f"{REFERENCE} was not run, so nothing can be said of labels saved: they are counted against it."


def _switches(strategies: Sequence[Tried]) -> Markup:
    """Return the legend, which the script turns into switches."""
    return tag(
        "ul",
        *(
            tag(
                "li",
                tag(
                    "label",
                    tag("input", type="checkbox", checked=True, data_switch=one.number, hidden=True),
                    tag(
                        "svg",
                        tag("title", f"line of {one.name}"),
                        tag("line", x1=0, x2=28, y1=5, y2=5),
                        viewBox="0 0 28 10",
                        style=stroke(one),
                    ),
                    one.name,
                ),
            )
            for one in strategies
        ),
        tag("li", tag("button", "all or none", type="button", data_all=True, hidden=True)),
        class_="legend",
    )
