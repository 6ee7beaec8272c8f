"""A patient's part is decided at first sight and never again; the first clearance closes the locked part."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.arrivals import Gateway, arrival
from overread.core.codec import Envelope
from overread.core.events import InstanceReceived, ModelPromoted
from overread.core.splits import Split, SplitPolicy
from overread.gateway.patients import CloseLockedSet
from overread.gateway.standing import standing, stored
from overread.gateway.tables import gateway_closures
from overread.store.engine import Store


def splits(gateway: Gateway) -> dict[str, Split]:
    return {said.patient: said.split for said in gateway.events() if isinstance(said, InstanceReceived)}


def admit(gateway: Gateway, first: int, last: int) -> None:
    for number in range(first, last):
        gateway.admit(arrival(number, PatientID=f"patient-{number}"))


def promoted(version: int, *, first_clearance: bool) -> Envelope[ModelPromoted]:
    event = ModelPromoted(
        name="overread-x", version=version, sha256="0" * 64, cleared=True, first_clearance=first_clearance
    )
    return Envelope(event, "rollout")


def close(gateway: Gateway, envelope: Envelope[ModelPromoted]) -> None:
    with gateway.store.writing() as tx:
        assert CloseLockedSet().apply(tx, envelope, None) == ()


def test_patients_are_divided_by_the_policys_shares(store: Store, tmp_path: Path) -> None:
    gateway = Gateway(store, tmp_path, policy=SplitPolicy(0.3, 0.3))
    admit(gateway, 1, 201)
    counts = Counter(splits(gateway).values())
    assert all(30 <= counts[split] <= 110 for split in Split), counts


def test_a_patient_keeps_the_first_split_whatever_the_policy_says_later(gateway: Gateway) -> None:
    admit(gateway, 1, 30)
    before = splits(gateway)
    others = {patient: next(split for split in Split if split is not was) for patient, was in before.items()}
    gateway.admission = gateway.admit_with(SplitPolicy(0.1, 0.8, others))
    for number in range(1, 30):
        gateway.admit(arrival(1000 + number, PatientID=f"patient-{number}"))
    assert splits(gateway) == before


def test_a_given_split_is_taken(store: Store, tmp_path: Path) -> None:
    for number, split in enumerate(Split):
        gateway = Gateway(store, tmp_path)
        patient = gateway.pseudonyms.patient(f"given-{number}")
        gateway.admission = gateway.admit_with(SplitPolicy(given={patient: split}))
        gateway.admit(arrival(number + 1, PatientID=f"given-{number}"))
        assert splits(gateway)[patient] is split


@pytest.mark.parametrize("split", list(Split))
def test_a_split_given_by_number_holds_where_the_data_set_names_an_issuer(gateway: Gateway, split: Split) -> None:
    """The splits file has no issuer: a patient who is meant to be locked must not end up among those that teach."""
    gateway.admission = gateway.admit_with(SplitPolicy(given={gateway.pseudonyms.patient("given"): split}))
    gateway.admit(arrival(1, PatientID="given", IssuerOfPatientID="HOSPITAL"))
    assert list(splits(gateway).values()) == [split]


def test_after_the_first_clearance_no_new_patient_is_locked_and_the_old_ones_stay(store: Store, tmp_path: Path) -> None:
    gateway = Gateway(store, tmp_path, policy=SplitPolicy(0.2, 0.5))
    admit(gateway, 1, 41)
    before = splits(gateway)
    assert Split.LOCKED in before.values()
    close(gateway, promoted(1, first_clearance=False))
    admit(gateway, 41, 61)
    assert Split.LOCKED in {split for patient, split in splits(gateway).items() if patient not in before}
    before = splits(gateway)
    close(gateway, promoted(2, first_clearance=True))
    close(gateway, promoted(2, first_clearance=True))
    assert gateway.count(gateway_closures) == 1
    admit(gateway, 61, 121)
    after = splits(gateway)
    assert Split.LOCKED not in {split for patient, split in after.items() if patient not in before}
    assert before.items() <= after.items()
    gateway.admit(arrival(999, PatientID=next(f"patient-{n}" for n in range(1, 61) if locked(gateway, before, n))))
    assert Counter(split for split in splits(gateway).values())[Split.LOCKED] == Counter(before.values())[Split.LOCKED]


def locked(gateway: Gateway, known: dict[str, Split], number: int) -> bool:
    return known[gateway.pseudonyms.patient(f"patient-{number}")] is Split.LOCKED


def test_the_standing_counts_and_names_what_is_stored(gateway: Gateway) -> None:
    admit(gateway, 1, 4)
    with gateway.store.reading() as tx:
        facts, uids = standing(tx), stored(tx)
    assert (facts["studies"], facts["instances"], facts["quarantined"]) == (1, 3, 0)
    assert sum(facts["patients"].values()) == 3
    assert len(uids) == 3
    with gateway.store.reading() as tx:
        assert tx.execute(select(gateway_closures)).all() == []
