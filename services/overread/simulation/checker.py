"""Proves from outside that no correction was lost, doubled, reordered, invented or brought back.

It looks at four things: the clients' own history, the ledger, the log of facts from its beginning, and the labels
that training would use; and, where somebody rebuilt them from the log, whether they came out the same. Doubles in the
log are no fault, since delivery is at least once; one act with two effects is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from overread.simulation.history import Attempt, Outcome


class Entry(NamedTuple):
    """A correction in the ledger."""

    correction: str
    candidate: str
    version: int


class Fact(NamedTuple):
    """A fact in the log, in the order of its partition."""

    id: str
    """ce_id: the same where the same fact was sent twice."""
    correction: str
    candidate: str
    version: int
    label: int | None


class Evidence(NamedTuple):
    """What the system says of itself."""

    ledger: Sequence[Entry]
    facts: Sequence[Fact]
    """From the beginning; of each candidate in the order of the log."""
    labels: Mapping[str, int | None]
    """Of the candidates that may teach."""
    differences: Sequence[str] = ()
    """Between the live state and one that was rebuilt from the log."""


class Verdict(NamedTuple):
    """What is wrong, a line each. All empty: every property holds."""

    lost: list[str]
    doubled: list[str]
    order_broken: list[str]
    invented: list[str]
    """What nobody did, or what was refused and took effect all the same."""
    resurrected: list[str]
    """Labels that are not those of the last word on their candidate: a retraction undone, an amendment forgotten."""
    differs: list[str]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self)


def check(history: Mapping[str, Attempt], evidence: Evidence) -> Verdict:
    """Hold what clients were told against what the system says."""
    entered = Counter(entry.correction for entry in evidence.ledger)
    said = {fact.correction for fact in evidence.facts}
    tried = {attempt.key: attempt.outcome for attempt in history.values()}
    ok = [key for key, outcome in tried.items() if outcome is Outcome.OK]
    return Verdict(
        lost=[f"{key} was accepted and is not in the ledger" for key in ok if key not in entered]
        + [f"{key} stands in the ledger and was never said" for key in entered if key not in said],
        doubled=[f"{key} stands in the ledger {number} times" for key, number in entered.items() if number > 1]
        + _said_twice(evidence.facts),
        order_broken=_steps(evidence.ledger) + _turns(evidence.facts),
        invented=[f"{key} was refused and stands in the ledger" for key in entered if tried.get(key) is Outcome.FAIL]
        + [f"{key} stands in the ledger, and nobody did it" for key in entered if key not in tried]
        + [f"{key} was said and is not in the ledger" for key in sorted(said) if key not in entered],
        resurrected=_stale(evidence.facts, evidence.labels),
        differs=list(evidence.differences),
    )


def _said_twice(facts: Iterable[Fact]) -> list[str]:
    """Find corrections that were said under two names: two effects for who hears them."""
    names: dict[str, set[str]] = defaultdict(set)
    for fact in facts:
        names[fact.correction].add(fact.id)
    return [f"{key} was said as {len(ids)} facts" for key, ids in names.items() if len(ids) > 1]


def _steps(ledger: Iterable[Entry]) -> list[str]:
    """Find candidates whose versions are not 1, 2, 3 ..., each once."""
    versions: dict[str, list[int]] = defaultdict(list)
    for entry in ledger:
        versions[entry.candidate].append(entry.version)
    return [
        f"{candidate} has versions {sorted(found)} in the ledger"
        for candidate, found in versions.items()
        if sorted(found) != list(range(1, len(found) + 1))
    ]


def _turns(facts: Iterable[Fact]) -> list[str]:
    """Find facts that were first said after a later one of their candidate."""
    last: dict[str, int] = {}
    seen: set[str] = set()
    found = []
    for fact in facts:
        if fact.id in seen:
            continue  # sent again, after others: consumers pass it over by its name
        seen.add(fact.id)
        if fact.version <= last.get(fact.candidate, 0):
            found.append(f"{fact.candidate}: version {fact.version} was said after version {last[fact.candidate]}")
        last[fact.candidate] = max(last.get(fact.candidate, 0), fact.version)
    return found


def _stale(facts: Iterable[Fact], labels: Mapping[str, int | None]) -> list[str]:
    """Find labels that are not those of the latest version; the first fact under a name counts, as for consumers."""
    latest: dict[str, Fact] = {}
    for fact in facts:
        if fact.candidate not in latest or fact.version > latest[fact.candidate].version:
            latest[fact.candidate] = fact
    return [
        f"{candidate} is labelled {label}, and version {latest[candidate].version} says {latest[candidate].label}"
        if candidate in latest
        else f"{candidate} is labelled {label}, and nobody said so"
        for candidate, label in labels.items()
        if candidate not in latest or latest[candidate].label != label
    ]
