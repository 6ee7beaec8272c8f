"""Faults planted into sound evidence: a checker that has never failed proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from overread.simulation.checker import Entry, Evidence, Fact, Verdict, check
from overread.simulation.faults.evidence import Effect, check_effects
from overread.simulation.history import Attempt, Outcome

CANDIDATES, VERSIONS = 4, 3


@dataclass
class World:
    """What a house without a fault leaves behind, to be spoilt: each candidate confirmed, rejected, taken back."""

    history: dict[str, Attempt] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    labels: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for version in range(1, VERSIONS + 1):
            for number in range(CANDIDATES):
                key, candidate, label = f"k-{number}-{version}", f"c-{number}", (1, 0, None)[version - 1]
                self.history[key] = Attempt(key, candidate, Outcome.OK)
                self.ledger.append(Entry(key, candidate, version))
                self.facts.append(Fact(f"f-{key}", key, candidate, version, label))
                self.effects.append(Effect(key, candidate, version))
                self.labels[candidate] = label

    def wrong(self) -> set[str]:
        """Return the names of the properties that do not hold."""
        verdicts = (
            check(self.history, Evidence(self.ledger, self.facts, self.labels)),
            check_effects(self.history, self.ledger, self.effects),
        )
        return {name for verdict in verdicts for name in Verdict._fields if getattr(verdict, name)}


def _drop(world: World) -> None:
    gone = world.ledger.pop()
    world.facts = [fact for fact in world.facts if fact.correction != gone.correction]
    world.effects.pop()
    world.labels[gone.candidate] = 0


def _double(world: World) -> None:
    world.ledger.append(world.ledger[2]._replace(version=VERSIONS + 1))


def _double_effect(world: World) -> None:
    world.effects.append(world.effects[-1])


def _reorder(world: World) -> None:
    world.facts[0], world.facts[CANDIDATES] = world.facts[CANDIDATES], world.facts[0]


def _reorder_effects(world: World) -> None:
    world.effects[0], world.effects[CANDIDATES] = world.effects[CANDIDATES], world.effects[0]


def _resurrect(world: World) -> None:
    world.labels["c-1"] = 0


PLANTED: dict[str, tuple[Callable[[World], None], str]] = {
    "a drop": (_drop, "lost"),
    "a double in the ledger": (_double, "doubled"),
    "a double effect": (_double_effect, "doubled"),
    "a reordering in the log": (_reorder, "order_broken"),
    "a reordering of effects": (_reorder_effects, "order_broken"),
    "a resurrected retraction": (_resurrect, "resurrected"),
}


class Found(NamedTuple):
    """What the checker says of one planted fault."""

    planted: str
    expected: str
    found: tuple[str, ...]

    @property
    def seen(self) -> bool:
        """Whether it was found."""
        return self.expected in self.found


def plant() -> list[Found]:
    """Plant each fault into a world of its own; the first world is sound, and nothing may be found there."""
    if said := World().wrong():
        raise AssertionError(f"the checker finds {sorted(said)} where nothing is wrong")
    found = []
    for name, (spoil, expected) in PLANTED.items():
        spoil(world := World())
        found.append(Found(name, expected, tuple(sorted(world.wrong()))))
    return found
