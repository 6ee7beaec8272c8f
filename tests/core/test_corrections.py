from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overread.core.corrections import LABEL, MOVES, Label, Verdict, adjudicate

verdicts = st.lists(st.sampled_from(Verdict), max_size=12)


def test_every_verdict_has_a_label_or_says_that_it_has_none() -> None:
    assert set(LABEL) == set(Verdict)
    assert {verdict for verdict in Verdict if verdict in {Verdict.AMENDED, Verdict.ADDED}} == MOVES


def test_examples() -> None:
    yes, no, unsure, withdrawn = Verdict.CONFIRMED, Verdict.REJECTED, Verdict.UNSURE, Verdict.WITHDRAWN
    assert adjudicate([]) == Label(None, 0.0, 0)
    assert adjudicate([yes]) == Label(1, 1.0, 1)
    assert adjudicate([no, unsure]) == Label(0, 1.0, 2)
    assert adjudicate([yes, no]) == Label(None, 0.0, 2)
    assert adjudicate([yes, yes, no, withdrawn]) == Label(1, 2 / 3, 3)
    assert adjudicate([Verdict.AMENDED, Verdict.ADDED, no]) == Label(1, 2 / 3, 3)
    assert adjudicate([unsure]) == Label(None, 0.0, 1)


@given(verdicts)
def test_the_label_is_what_more_than_half_of_those_who_decided_said(latest: list[Verdict]) -> None:
    decided = [LABEL[verdict] for verdict in latest if LABEL[verdict] is not None]
    label = adjudicate(latest)
    if label.value is None:
        assert label.agreement == 0
        assert decided.count(1) == decided.count(0)
    else:
        assert label.agreement == decided.count(label.value) / len(decided) > 0.5


@given(verdicts, st.randoms())
def test_the_order_of_readers_says_nothing(latest: list[Verdict], dice: object) -> None:
    shuffled = list(latest)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert adjudicate(shuffled) == adjudicate(latest)


@given(verdicts)
def test_a_withdrawal_is_as_if_nothing_had_been_said(latest: list[Verdict]) -> None:
    assert adjudicate([*latest, Verdict.WITHDRAWN]) == adjudicate(latest)


@given(verdicts)
def test_an_unsure_reader_counts_and_moves_nothing(latest: list[Verdict]) -> None:
    before, after = adjudicate(latest), adjudicate([*latest, Verdict.UNSURE])
    assert after == Label(before.value, before.agreement, before.readers + 1)


@given(verdicts)
def test_the_opposite_verdicts_give_the_opposite_label(latest: list[Verdict]) -> None:
    turned = {Verdict.CONFIRMED: Verdict.REJECTED, Verdict.REJECTED: Verdict.CONFIRMED}
    simple = [verdict for verdict in latest if verdict not in MOVES]
    label, opposite = adjudicate(simple), adjudicate([turned.get(verdict, verdict) for verdict in simple])
    assert opposite.agreement == label.agreement
    assert opposite.value == (None if label.value is None else 1 - label.value)
