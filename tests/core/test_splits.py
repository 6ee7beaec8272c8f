from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overread.core.errors import Misconfigured
from overread.core.pseudonyms import Pseudonyms
from overread.core.splits import Split, SplitPolicy

NAMES = Pseudonyms(bytes(range(32)))
PATIENTS = [NAMES.patient(str(number)) for number in range(6000)]


def shares(policy: SplitPolicy, *, closed: bool) -> dict[Split, float]:
    found = Counter(policy.assign(patient, NAMES, locked_closed=closed) for patient in PATIENTS)
    return {split: found[split] / len(PATIENTS) for split in Split}


def test_shares_are_kept() -> None:
    assert shares(SplitPolicy(0.15, 0.25), closed=False) == pytest.approx(
        {Split.TRAIN: 0.60, Split.VALIDATION: 0.15, Split.LOCKED: 0.25}, abs=0.02
    )


def test_a_closed_locked_set_takes_nobody_in_and_the_others_keep_their_proportion() -> None:
    assert shares(SplitPolicy(0.15, 0.25), closed=True) == pytest.approx(
        {Split.TRAIN: 0.80, Split.VALIDATION: 0.20, Split.LOCKED: 0.0}, abs=0.02
    )


def test_closing_moves_only_those_who_would_have_been_locked() -> None:
    policy = SplitPolicy()
    for patient in PATIENTS[:500]:
        before = policy.assign(patient, NAMES, locked_closed=False)
        after = policy.assign(patient, NAMES, locked_closed=True)
        assert after == before or before is Split.LOCKED


@given(st.text(min_size=1), st.booleans())
def test_the_answer_depends_on_key_and_patient_alone(patient: str, closed: bool) -> None:
    again = Pseudonyms(bytes(range(32)))
    assert SplitPolicy().assign(patient, NAMES, locked_closed=closed) == SplitPolicy().assign(
        patient, again, locked_closed=closed
    )


@pytest.mark.parametrize("given", Split)
def test_the_sites_own_list_wins_even_over_a_closed_set(given: Split) -> None:
    policy = SplitPolicy(given={PATIENTS[0]: given})
    assert policy.assign(PATIENTS[0], NAMES, locked_closed=True) is given


@pytest.mark.parametrize(("validation", "locked"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2), (float("nan"), 0.2)])
def test_shares_that_leave_somebody_out_are_refused(validation: float, locked: float) -> None:
    with pytest.raises(Misconfigured, match="split shares"):
        SplitPolicy(validation, locked)
