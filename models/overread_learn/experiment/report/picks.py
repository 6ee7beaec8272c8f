"""What each strategy picked, round by round: pictures, the network's opinion of them, and AIFT's patterns."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from overread_learn.acquisition.aift import BINARY
from overread_learn.acquisition.patterns import PATTERNS
from overread_learn.acquisition.strategy import ALIASES, STRATEGIES
from overread_learn.experiment.material import Material
from overread_learn.experiment.report.figures import histogram
from overread_learn.experiment.report.markup import Markup, joined, tag
from overread_learn.experiment.report.montage import album, montage
from overread_learn.experiment.report.tables import Cell, table
from overread_learn.experiment.report.tried import Tried

__all__ = ["SHOWN", "Picks"]

SHOWN = 24
"""Pictures a round."""


class Picks:
    """The picks of each strategy's first seed."""

    def __init__(self, strategies: Sequence[Tried], material: Material) -> None:
        """Draw the pictures of the first picks of every round. Raises KeyError on an id that the material lacks."""
        self._material = material
        self._place = {candidate: index for index, candidate in enumerate(material.ids)}
        self.album = album(
            material, {index for one in strategies for step in one.first["steps"] for index in self._first(step)}
        )

    def _first(self, step: Mapping[str, Any]) -> list[int]:
        return [self._place[candidate] for candidate in step["picks"][:SHOWN]]

    def legend(self) -> tuple[Markup, Markup]:
        """Explain frames, histograms and patterns."""
        classes = self._material.application.classes
        whose = f"“{classes[-1]}”" if len(classes) == BINARY else "the class that is likeliest for the candidate"
        frames = joined(
            f"The first {SHOWN} picks of each round, in the order in which they were picked, with one seed. ",
            tag("span", "+ positive", class_="key positive"),
            " has a solid frame and a plus, ",
            tag("span", "negative", class_="key negative"),
            " a dashed frame: the set's own labels. The pictures are what the network gets, normalised. ",
            f"The histogram is of all the picks' patches: how likely {whose} seemed to the network that stood when "
            "they were picked.",
        )
        patterns = (
            "AIFT's patterns tell how the probabilities of one candidate's patches spread, by which of seven shapes is "
            "nearest: A all in the middle, B evenly, C half at either end, D all at 0, E all at 1, F at 0 with "
            "outliers, G at 1 with outliers. A is doubt, B and C are disagreement, and D and E teach little."
        )
        return tag("p", frames), tag("p", patterns)

    def section(self, one: Tried) -> Markup:
        """Return a strategy's rounds; the first strategy's are unfolded."""
        steps: Sequence[Mapping[str, Any]] = one.first["steps"]
        news = _new_positives(steps)
        seed = one.first["seed"]
        return tag(
            "details",
            tag("summary", tag("h3", one.name), tag("span", f"{sum(news)} positives in {steps[-1]['labels']} labels")),
            tag("p", f"{_described(one.name)}. Shown is seed {seed}."),
            *(self._round(number, step, new) for number, (step, new) in enumerate(zip(steps, news, strict=True), 1)),
            _rounds_table(f"Rounds of {one.name}, seed {seed}", steps, news),
            class_="strategy",
            open=one.number == 0,
        )

    def _round(self, number: int, step: Mapping[str, Any], positives: int) -> Markup:
        count, cold = len(step["picks"]), step.get("cold")  # earlier versions did not say
        by = f", chosen by {cold}, for a class had no label yet" if cold else ""
        patterns = (tag("li", tag("b", name), f" {step['patterns'].get(name, 0)}") for name in PATTERNS)
        return tag(
            "section",
            tag("h4", f"Round {number}"),
            tag("p", f"{count} picks{by}, {positives} positive; AUC after it {step['auc']:.3f}"),
            montage(self._material, self._first(step)),
            tag(
                "div",
                histogram(step["histogram"], f"Round {number}: probabilities of the picks' patches"),
                tag("ul", *patterns, class_="patterns", aria_label="How many picks have which pattern"),
                class_="opinion",
            ),
            class_="round",
        )


def _described(name: str) -> str:
    alias = f" ({ALIASES[name]})" if name in ALIASES else ""
    return f"What it is: {STRATEGIES.get(name, 'built by the grammar of strategies')}{alias}"


def _new_positives(steps: Sequence[Mapping[str, Any]]) -> list[int]:
    so_far = [0, *(step["positives"] for step in steps)]
    return [after - before for before, after in pairwise(so_far)]


def _rounds_table(caption: str, steps: Sequence[Mapping[str, Any]], news: Sequence[int]) -> Markup:
    """Tabulate what the figures of each round show."""
    bins = len(steps[0]["histogram"])
    head = (
        "round",
        "labels",
        "new",
        "positive",
        "AUC",
        *PATTERNS,
        *(f"p {number / bins:.1f}-{(number + 1) / bins:.1f}" for number in range(bins)),
    )
    rows = [
        [
            Cell(str(number)),
            Cell(str(step["labels"])),
            Cell(str(len(step["picks"]))),
            Cell(str(new)),
            Cell(f"{step['auc']:.3f}"),
            *(Cell(str(step["patterns"].get(name, 0))) for name in PATTERNS),
            *(Cell(str(count)) for count in step["histogram"]),
        ]
        for number, (step, new) in enumerate(zip(steps, news, strict=True), 1)
    ]
    return table(caption, head, rows, sortable=False)
