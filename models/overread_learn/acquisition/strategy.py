"""A strategy by its name: what it measures, how it draws, and how it begins."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from overread_learn.acquisition.bounds import LARGEST
from overread_learn.acquisition.uncertainty import MEASURES

__all__ = ["AUTO", "GRAMMAR", "STRATEGIES", "Strategy", "strategy"]

GRAMMAR = """\
[COLD:]MEASURE[@ALPHA][~OMEGA | ^BETA | +badge[OMEGA]]
  MEASURE  entropy, diversity, sum (AIFT's; aift-L1-L2 weighs entropy by L1 and diversity by L2), margin,
           least-confidence, patch-jsd, rarest; or a way that measures nothing: random, scratch (random, and a network
           that begins anew each round), stratified, badge, coreset, typiclust
  @ALPHA   majority selection: the share of a candidate's patches that counts (AIFT's measures only)
  ~OMEGA   ACFT's randomness: drawn from the best OMEGA times the budget
  ^BETA    power sampling: drawn from the whole pool with weight measure^BETA
  +badge   k-means++ on gradient embeddings within the best OMEGA (5) times the budget
  COLD     another name of this grammar, one that has no cold start itself (random, typiclust,
           coreset, AIFT's): how it chooses until every class has a label
acft and auto are names of such combinations; acft may stand behind a COLD: too"""

BY_EMBEDDINGS = frozenset({"badge", "coreset", "typiclust"})
"""Draws that look at embeddings."""
OMEGA = 5.0
"""How far beyond the budget the best candidates reach that one is drawn from (ACFT, Section 5.2)."""


@dataclass(frozen=True)
class Strategy:
    """How a budget is spent.

    ``measure`` is ``aift`` (weights ``entropy`` and ``diversity``, lambda 1 and 2; majority share ``alpha``), one of
    `overread_learn.acquisition.uncertainty.MEASURES`, or empty; ``draw`` is ``best``, ``randomised``, ``power``,
    ``badge``, ``random``, ``stratified``, ``coreset`` or ``typiclust``, and ``factor`` the omega or beta that it takes.
    ``cold`` names the strategy until every class has a label; empty where there is no other.
    ``restart`` says that the network begins with random weights each round.
    """

    name: str
    measure: str = ""
    entropy: float = 0.0
    diversity: float = 0.0
    alpha: float = 1.0
    draw: str = "best"
    factor: float = 0.0
    cold: str = ""
    restart: bool = False

    def now(self, counts: Mapping[int, int], classes: int) -> "Strategy":
        """Return who chooses now: the cold start until each class has a label (``counts`` by class), else this one."""
        return self if not self.cold or all(counts.get(each) for each in range(classes)) else strategy(self.cold)

    def phase(self, *, learnt: bool) -> str:
        """Return which of an application's phases its round trains by.

        ``learnt`` says whether the network that it starts from has learnt in a round before: M0 has not.
        """
        if self.restart:
            return "scratch"
        if not learnt:
            return "first"
        return "later_diversity" if self.measure == "aift" and not self.entropy else "later"

    @property
    def at_random(self) -> bool:
        """Whether every round is drawn by chance alone."""
        return self.draw == "random" and (not self.cold or strategy(self.cold).at_random)

    @property
    def embeds(self) -> bool:
        """Whether it looks at embeddings."""
        return self.draw in BY_EMBEDDINGS or bool(self.cold and strategy(self.cold).embeds)

    @property
    def blind(self) -> "Strategy":
        """Who chooses where no network gives embeddings; what never looks at them stays as it is.

        What looks at them goes by its measure alone, or at random where it has none; so does a cold start.
        """
        cold, _, rest = (_blind(part) for part in ALIASES.get(self.name, self.name).rpartition(":"))
        return strategy(rest if cold in {"", rest} else f"{cold}:{rest}")


_WHOLE: Mapping[str, Strategy] = MappingProxyType(
    {
        "random": Strategy("random", draw="random"),
        "scratch": Strategy("scratch", draw="random", restart=True),
        "stratified": Strategy("stratified", draw="stratified", cold="random"),
        "badge": Strategy("badge", draw="badge", cold="random"),
        "coreset": Strategy("coreset", draw="coreset"),
        "typiclust": Strategy("typiclust", draw="typiclust"),
    }
)
_MEASURES: Mapping[str, Strategy] = MappingProxyType(
    {
        "entropy": Strategy("entropy", "aift", entropy=1),
        "diversity": Strategy("diversity", "aift", diversity=1),
        "sum": Strategy("sum", "aift", entropy=1, diversity=1),
        **{name: Strategy(name, name, cold="random") for name in MEASURES},
    }
)
_AIFT = re.compile(r"aift-(?P<entropy>\d*\.?\d+)-(?P<diversity>\d*\.?\d+)")
_NAME = re.compile(
    r"(?P<base>[a-z]+(?:-[a-z]+)?(?:-\d*\.?\d+-\d*\.?\d+)?)"
    r"(?:@(?P<alpha>\d*\.?\d+))?"
    r"(?:~(?P<omega>\d*\.?\d+)|\^(?P<beta>\d*\.?\d+)|\+badge(?P<badge>(?:\d*\.?\d+)?))?"
)
ALIASES: Mapping[str, str] = MappingProxyType({"acft": "diversity@.25~5", "auto": "random:entropy@.25+badge2"})
AUTO = "auto"
"""What is chosen where nobody chooses; docs/results.md says why."""

STRATEGIES: Mapping[str, str] = MappingProxyType(
    {
        "auto": "the default; docs/results.md says what it stands for and what is known of it",
        "random": "every candidate alike; with continual fine-tuning it is the papers' IFT Random",
        "scratch": "random picks, and a network that begins with random weights each round",
        "entropy": "AIFT: sum of the patches' entropies",
        "entropy@.25": "AIFT: entropy after majority selection",
        "diversity": "AIFT: symmetric Kullback-Leibler divergence of all pairs of patches",
        "diversity@.25": "AIFT: diversity after majority selection, the paper's recommendation",
        "sum": "AIFT: entropy + diversity",
        "sum@.25": "AIFT: entropy + diversity after majority selection",
        "acft": "ACFT: diversity@.25 with its randomness, omega = 5",
        "margin": "smallest difference of the two likeliest classes",
        "least-confidence": "smallest probability of the likeliest class",
        "stratified": "random, equally many of each predicted class",
        "typiclust": "typical candidates of clusters that no label covers",
        "badge": "k-means++ on gradient embeddings",
        "coreset": "farthest from all that is labelled",
        "patch-jsd": "Jensen-Shannon divergence of the patches",
        "rarest": "likeliest members of the class with the fewest labels",
        "margin^1": "power sampling: drawn by margin",
        "entropy@.25+badge": "AIFT as a prefilter, k-means++ on gradient embeddings inside",
    }
)
"""The strategies that have a name of their own, and what each is in a line; `GRAMMAR` makes more."""


def meaning(name: str) -> str:
    """Return the sentence of the grammar that a name stands for: `auto` has meant others before.

    So has what a name is built of: each part of ``COLD:REST`` is spelt out.
    """
    return ":".join(ALIASES.get(part, part) for part in ALIASES.get(name, name).split(":"))


def strategy(name: str) -> Strategy:
    """Return the strategy of a name, one of `STRATEGIES` or built by `GRAMMAR`.

    Raises ValueError on anything else; the message lists the names.
    """
    cold, colon, rest = ALIASES.get(name, name).rpartition(":")
    match = _NAME.fullmatch(ALIASES.get(rest, rest))
    if match is None or (colon and not cold):
        raise _unknown(name)
    if cold and strategy(cold).cold:
        raise ValueError(f"strategy {name!r}: {cold} has a cold start itself ({strategy(cold).cold}), and can't be one")
    base, alpha = match["base"], match["alpha"]
    free = _AIFT.fullmatch(base)
    if base in _WHOLE:
        if any(match[part] is not None for part in ("alpha", "omega", "beta", "badge")):
            raise ValueError(f"strategy {name!r}: {base} measures nothing that @, ~, ^ or + could work on")
        found = _WHOLE[base]
    elif free:
        found = Strategy(base, "aift", entropy=float(free["entropy"]), diversity=float(free["diversity"]))
        if found.entropy == found.diversity == 0:
            raise ValueError(f"strategy {name!r}: both weights are zero")
    elif base in _MEASURES:
        found = _MEASURES[base]
    else:
        raise _unknown(name)
    if alpha is not None:
        if found.measure != "aift" or not 0 < float(alpha) <= 1:
            raise ValueError(f"strategy {name!r}: @ is for AIFT's measures and takes a share above 0, at most 1")
        found = replace(found, alpha=float(alpha))
    return replace(_drawn(found, match), name=name, cold=cold or found.cold)


def _drawn(found: Strategy, match: re.Match[str]) -> Strategy:
    for part, draw in (("omega", "randomised"), ("beta", "power"), ("badge", "badge")):
        if match[part] is not None:
            found = replace(found, draw=draw, factor=float(match[part] or OMEGA))
    if max(found.entropy, found.diversity, found.factor) > LARGEST:  # an infinite one would make every score a NaN
        raise ValueError(f"a strategy's weights, omega and beta are at most {LARGEST:.3g}")
    return found


def _blind(part: str) -> str:
    return "random" if part in BY_EMBEDDINGS else part.partition("+badge")[0]


def _unknown(name: str) -> ValueError:
    return ValueError(
        f"unknown strategy {name!r}; known are {', '.join(STRATEGIES)}, and {GRAMMAR.splitlines()[0]} "
        "(`overread-learn strategies` explains it)"
    )
