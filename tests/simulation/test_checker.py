"""The checker finds each fault that is planted, and none where there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from overread.simulation.checker import Entry, Evidence, Fact, Verdict, check
from overread.simulation.history import Attempt, History, Outcome, opened, read

CANDIDATES = 5
VERSIONS = 4


@dataclass
class World:
    """A sound world, to be spoilt: five candidates, four corrections each, the last a retraction of the label."""

    history: dict[str, Attempt] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    labels: dict[str, int | None] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for version in range(1, VERSIONS + 1):
            for number in range(CANDIDATES):
                key, candidate = f"k-{number}-{version}", f"c-{number}"
                label = None if version == VERSIONS else version % 2
                self.history[key] = Attempt(key, candidate, Outcome.OK)
                self.ledger.append(Entry(key, candidate, version))
                self.facts.append(Fact(f"f-{key}", key, candidate, version, label))
                self.labels[candidate] = label

    def check(self) -> Verdict:
        return check(self.history, Evidence(self.ledger, self.facts, self.labels, self.differences))


@pytest.fixture
def world() -> World:
    return World()


def wrong(verdict: Verdict) -> set[str]:
    return {name for name, lines in verdict._asdict().items() if lines}


def test_a_sound_world_holds(world: World) -> None:
    assert world.check().holds


def test_what_is_sent_again_is_no_fault(world: World) -> None:
    world.facts += world.facts[3:9]
    assert world.check().holds


def test_an_unknown_may_have_happened_or_not(world: World) -> None:
    world.history["k-0-4"] = world.history["k-0-4"]._replace(outcome=Outcome.UNKNOWN)
    world.history["never"] = Attempt("never", "c-1", Outcome.UNKNOWN)
    assert world.check().holds


def test_a_drop(world: World) -> None:
    gone = world.ledger.pop()
    world.facts = [fact for fact in world.facts if fact.correction != gone.correction]
    world.labels[gone.candidate] = 1
    assert world.check().lost == [f"{gone.correction} was accepted and is not in the ledger"]


def test_a_fact_that_was_never_said(world: World) -> None:
    world.facts.pop(0)
    assert wrong(world.check()) == {"lost"}


def test_a_double_in_the_ledger(world: World) -> None:
    world.ledger.append(world.ledger[2]._replace(version=VERSIONS + 1))
    verdict = world.check()
    assert verdict.doubled == ["k-2-1 stands in the ledger 2 times"]


def test_a_double_under_another_name(world: World) -> None:
    world.facts.append(world.facts[-1]._replace(id="f-another"))
    assert "doubled" in wrong(world.check())


def test_a_reordering(world: World) -> None:
    world.facts[0], world.facts[CANDIDATES] = world.facts[CANDIDATES], world.facts[0]
    assert world.check().order_broken == ["c-0: version 1 was said after version 2"]


def test_a_gap_in_the_versions(world: World) -> None:
    world.ledger[-1] = world.ledger[-1]._replace(version=VERSIONS + 1)
    assert wrong(world.check()) == {"order_broken"}


def test_a_resurrected_retraction(world: World) -> None:
    world.labels["c-3"] = 1
    assert world.check().resurrected == ["c-3 is labelled 1, and version 4 says None"]


def test_a_label_out_of_nothing(world: World) -> None:
    world.labels["c-9"] = 1
    assert wrong(world.check()) == {"resurrected"}


def test_a_refused_one_took_effect(world: World) -> None:
    world.history["k-1-2"] = world.history["k-1-2"]._replace(outcome=Outcome.FAIL)
    assert wrong(world.check()) == {"invented"}


def test_nobody_did_it(world: World) -> None:
    del world.history["k-1-2"]
    assert wrong(world.check()) == {"invented"}


def test_a_rebuild_that_differs(world: World) -> None:
    world.differences.append("ledger: 20 rows live, 19 rebuilt")
    assert wrong(world.check()) == {"differs"}


def test_a_history_survives_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    with opened(file) as history:
        history.invoke([("a", "c-1"), ("b", "c-2"), ("c", "c-3")])
        history.end(["a"], Outcome.OK)
        history.end(["b"], Outcome.UNKNOWN)
    with file.open("a") as cut_off:
        cut_off.write('{"op": "ok", "key": "c')
    assert {key: attempt.outcome.value for key, attempt in read(file).items()} == {
        "a": "ok",
        "b": "unknown",
        "c": "unknown",
    }
    with opened(file) as history:
        assert isinstance(history, History)
        history.end(["b"], Outcome.OK)
    assert read(file)["b"].outcome is Outcome.OK
