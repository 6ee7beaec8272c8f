"""By which learning rates a round trains: the application's own, or those of AIFT's Table 3, phase by phase."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inference import pictures
from inference.words import promoted
from overread import config
from overread.core.errors import Misconfigured
from overread.core.splits import Split
from overread.trainer import learning
from overread.trainer.recipe import recipe
from overread_learn.applications import Application, Phase
from trainer.room import Room

PHASES = {
    "first": Phase(1e-4, 2e-4, 0.9, 1),
    "later": Phase(3e-4, 4e-4, 0.8, 2),
    "later_diversity": Phase(5e-4, 6e-4, 0.7, 1),
    "scratch": Phase(7e-4, 8e-4, 0.6, 1),
}


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Application:
    """The pictures' application, with phases: models that were made without them still belong to it."""
    found = replace(pictures.APPLICATION, phases=PHASES)
    monkeypatch.setattr(pictures, "APPLICATION", found)
    return found


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, float, int]]:
    """What each training was told."""
    told = []
    fit = learning.finetune_last

    def listens(*given: Any, **more: Any) -> Any:
        terms = given[4]
        told.append((terms.rate, terms.head_rate, terms.gamma, terms.epochs))
        return fit(*given, **more)

    monkeypatch.setattr(learning, "finetune_last", listens)
    return told


def choose(room: Room, **settings: object) -> None:
    room.settings = room.settings.model_copy(update={"epochs": None, "recalibrate": False, **settings})
    room.duty = room.start()


def teach(room: Room) -> dict[str, str]:
    (said,) = room.look() or ()
    room.hear(said, promoted(said.version, said.sha256))
    return dict(room.registry.versions()[0].tags)


def values(*names: str) -> list[tuple[float, float, float, int]]:
    return [(one.rate, one.head_rate, one.gamma, one.epochs) for one in (PHASES[name] for name in names)]


@pytest.mark.parametrize(("strategy", "later"), [("entropy", "later"), ("acft", "later_diversity")])
@pytest.mark.usefixtures("application")
def test_the_first_round_and_the_later_ones_have_rates_of_their_own_and_so_has_a_restart(
    room: Room, rates: list[Any], strategy: str, later: str
) -> None:
    choose(room, rates="papers", strategy=strategy, drift_every=2, drift_margin=1.0)
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    assert teach(room)["rates"] == "papers, first"
    assert rates == values("first")
    room.label(20, [1, 0])
    assert teach(room)["rates"] == f"papers, {later}"
    assert rates == values("first", later, "first"), "the last is M0, in the drift check"


@pytest.mark.usefixtures("application")
def test_what_begins_at_m0_each_round_trains_by_the_first_phase_each_round(room: Room, rates: list[Any]) -> None:
    choose(room, rates="papers", training="AFT(LQ)")
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    teach(room)
    room.label(20, [1, 0])
    assert teach(room)["rates"] == "papers, first"
    assert rates == values("first", "first")


@pytest.mark.usefixtures("application")
def test_unless_they_are_asked_for_the_applications_own_rates_hold(room: Room, rates: list[Any]) -> None:
    choose(room, epochs=1)
    room.bootstrap()
    room.label(0, [1, 0] * 4)
    room.label(100, [1, 0] * 2, Split.VALIDATION)
    assert teach(room)["rates"] == "own"
    own = pictures.APPLICATION
    assert rates == [(own.rate, own.head_rate, own.gamma, 1)]


def test_a_line_that_began_at_random_begins_by_the_papers_random_start(application: Application) -> None:
    settings = config.Trainer(rates="papers", strategy="entropy")
    found = [recipe(application, settings, seed=0, scratch=True, first=first).rate for first in (True, False)]
    assert found == [PHASES["scratch"].rate, PHASES["later"].rate]


def test_an_application_without_phases_is_refused_at_the_start(room: Room) -> None:
    with pytest.raises(Misconfigured, match=r"trainer\.rates: .* has no \[phases\.first\].*write trainer\.rates=own"):
        choose(room, rates="papers")
