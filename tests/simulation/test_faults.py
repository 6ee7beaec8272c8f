"""Two cheap drills on the real parts, and what makes their verdict worth something: a checker that can fail."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from brokers import MARKS
from overread.simulation.broker import Cluster
from overread.simulation.faults.drills import Ground, killed_consumer, poison, under_load
from overread.simulation.faults.evidence import check_effects, judge
from overread.simulation.faults.part import AFTER_SQL
from overread.simulation.faults.planted import PLANTED, World, plant
from overread.simulation.postgres import Server


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, postgresql: Server) -> Ground:
    return Ground(tmp_path_factory.mktemp("faults"), quick=True, cluster=cluster, server=postgresql, say=lambda _: None)


def test_every_planted_fault_is_found() -> None:
    found = plant()
    assert len(found) == len(PLANTED)
    assert all(one.seen for one in found)


def test_a_sound_world_is_sound_and_a_gap_in_its_effects_is_a_loss() -> None:
    world = World()
    assert world.wrong() == set()
    del world.effects[-1]
    assert world.wrong() == {"lost"}


def test_a_double_effect_is_found_by_its_tally() -> None:
    world = World()
    verdict = check_effects(world.history, world.ledger, [*world.effects, world.effects[0]])
    assert len(verdict.doubled) == 1


class TestDrills:
    pytestmark = MARKS

    def test_poison_lands_in_the_dead_letters(self, on: Ground) -> None:
        row = poison(on)
        assert row.holds, row.details
        assert row.events > 100

    def test_a_consumer_that_is_killed_after_its_commit_does_nothing_twice(self, on: Ground) -> None:
        row = killed_consumer(AFTER_SQL, "trainer.selection")(on)
        assert row.holds, row.details
        assert (row.lost, row.doubled, row.order_broken) == (0, 0, 0)

    def test_a_fault_in_the_house_makes_the_row_fail(self, on: Ground) -> None:
        with on.line("spoilt") as line:
            under_load(line, lambda: _until(lambda: line.clients.said["rest"] > 3))
            with line.store.writing() as tx:
                tx.execute(text("DELETE FROM drill WHERE id = (SELECT max(id) FROM drill)"))
                tx.execute(text("INSERT INTO drill (correction, candidate, version) VALUES ('k', 'c', 1)"))
            row = judge(line, "spoilt", "an effect taken away, another made up")
        assert not row.holds
        assert row.lost == 1
        assert row.other == 1


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, "no correction was accepted"
        time.sleep(0.02)
