"""One candidate, from C-STORE to the model that its answer helped to make."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from line.hospital import cleared_serves
from overread.core import events
from overread.simulation.accounts import log, reconcile
from overread.tracing import trace_of

pytestmark = pytest.mark.network


def test_a_candidate_goes_from_c_store_to_the_swapped_model(hospital: Callable[[int], Any]) -> None:
    line = hospital(36)
    line.start()
    assert line.send().wait(120) == 0
    line.read()
    facts = line.wait_for("a cleared champion serves", cleared_serves)

    house = line.house
    promoted = [e for e in log(house, events.LIFECYCLE) if isinstance(e, events.ModelPromoted)]
    registered = {e.version: e for e in log(house, events.LIFECYCLE) if isinstance(e, events.ChallengerRegistered)}
    assert [e.cleared for e in promoted][:2] == [False, True]
    assert promoted[1].first_clearance
    assert registered[promoted[0].version].kind is events.Kind.BOOTSTRAP
    assert registered[promoted[1].version].parent == promoted[0].version

    picks = [e for e in log(house, events.READS) if isinstance(e, events.ReadRequested) and e.strategy]
    assert {e.model for e in picks if e.round == 1} == {promoted[0].sha256}, "selected under M(t-1)"
    answered = {e.candidate: e for e in log(house, events.FACTS) if isinstance(e, events.FindingCorrected)}
    pick = next(e for e in picks if e.round == 1 and e.candidate in answered)
    found = (e for e in log(house, events.CANDIDATES) if isinstance(e, events.CandidateReceived))
    received = next(e for e in found if e.candidate == pick.candidate)
    scores = (e for e in log(house, events.SCORES) if isinstance(e, events.CandidateScored))
    scored = next(e for e in scores if e.candidate == pick.candidate)
    fact = answered[pick.candidate]
    assert received.split == fact.split == "train"
    assert fact.purpose is events.Purpose.ACQUISITION
    assert len(scored.logits) == house.application.patches
    assert scored.model == promoted[0].sha256
    assert scored.provider == "CPUExecutionProvider"
    assert facts["serving"]["sha256"] == promoted[-1].sha256

    # One trace holds the study, from C-STORE to what was learnt of it; the promoted model's leads to it by links.
    spans = line.spans()
    of_study = {span["name"] for span in spans if trace_of(fact.study) == _number(span["context"]["trace_id"])}
    assert of_study >= {
        "C-STORE",
        "candidates.studies.Collect",
        f"publish {events.CANDIDATES}",
        "inference.score.Score",
        "trainer.pool.Rate",
        f"publish {events.READS}",
        "review.submit",
        "trainer.pool.Learn",
    }
    by_id = {span["context"]["span_id"]: span for span in spans}
    model = trace_of(promoted[1].key)
    said = [span for span in spans if span["name"] == f"publish {events.LIFECYCLE}"]
    assert {_number(span["context"]["trace_id"]) for span in said} == {model}
    caused = [by_id[link["context"]["span_id"]] for span in said for link in span["links"]]
    learnt = {
        _number(link["context"]["trace_id"])
        for span in caused
        if span["name"] == "trainer.round.Round"
        for link in span["links"]
    }
    assert trace_of(fact.study) in learnt

    # Restart goes on: nothing is asked, read or trained anew.
    line.up.send_signal(signal.SIGTERM)
    assert line.up.wait(60) == 0
    line.start()
    again = line.wait_for("the same champion serves after a restart", cleared_serves, 60)
    assert again["rollout"]["champion"]["version"] >= facts["rollout"]["champion"]["version"]
    accounts = reconcile(house, line.sent, line.answered)
    assert accounts.instances > 0
    assert accounts.corrections > 0
    assert (accounts.lost, accounts.duplicated) == (0, 0)


def _number(identity: str) -> int:
    return int(identity, 16)
