"""A study that is forgotten leaves no pixel, whenever the process dies and whatever arrives meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.arrivals import ROOT, Gateway, arrival
from overread.core.errors import Refused
from overread.core.events import StudyPurged, StudyPurgedAtSource
from overread.gateway.purge import purge
from overread.gateway.tables import gateway_instances, gateway_patients, gateway_quarantine

STUDY = f"{ROOT}.2.1"


def forget(gateway: Gateway, study: str = STUDY) -> Any:
    return purge(gateway.store, gateway.bus.append, gateway.blobs, study)


@pytest.mark.parametrize("by", ["uid", "pseudonym"])
def test_a_study_goes_with_its_pixels_and_its_quarantine_and_others_stay(gateway: Gateway, by: str) -> None:
    gateway.admit(arrival(1))
    gateway.admit(arrival(2))
    with pytest.raises(Refused):
        gateway.admit(arrival(2, Rows=2))
    gateway.admit(arrival(3, StudyInstanceUID=f"{ROOT}.2.2"))
    purged = forget(gateway, STUDY if by == "uid" else gateway.pseudonyms.study(STUDY))
    assert purged == (gateway.pseudonyms.study(STUDY), 2, 3)
    assert len(gateway.files()) == gateway.count(gateway_instances) == 1
    assert gateway.count(gateway_quarantine) == 0
    assert gateway.count(gateway_patients) == 1, "the split of the patient is not forgotten"
    assert [type(said) for said in gateway.events()[-2:]] == [StudyPurgedAtSource, StudyPurged]
    assert {said.key for said in gateway.events()[-2:]} == {gateway.pseudonyms.study(STUDY)}


def test_twice_finds_nothing_the_second_time(gateway: Gateway) -> None:
    gateway.admit(arrival(1))
    assert forget(gateway) is not None
    told = len(gateway.events())
    assert forget(gateway) is None
    assert forget(gateway, "1.2.3") is None
    assert len(gateway.events()) == told


def test_a_crash_after_the_pixels_is_finished_by_calling_again(gateway: Gateway) -> None:
    class Killed(BaseException):
        pass

    def dies(_tx: Any, _records: Any) -> None:
        raise Killed

    gateway.admit(arrival(1))
    with pytest.raises(Killed):
        purge(gateway.store, dies, gateway.blobs, STUDY)
    assert gateway.files() == []
    assert gateway.count(gateway_instances) == 1
    assert not any(isinstance(said, StudyPurged) for said in gateway.events())
    assert forget(gateway) is not None
    assert gateway.count(gateway_instances) == 0
    assert [type(said) for said in gateway.events()[-2:]] == [StudyPurgedAtSource, StudyPurged]


def test_what_arrives_during_the_purge_leaves_no_pixel_either(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.admit(arrival(1))
    delete = gateway.blobs.delete

    def meanwhile(key: str) -> None:
        if gateway.count(gateway_instances) == 1:
            gateway.admit(arrival(2, Rows=2))
        delete(key)

    monkeypatch.setattr(gateway.blobs, "delete", meanwhile)
    assert forget(gateway) is not None
    assert gateway.count(gateway_instances) == len(gateway.files())
    forget(gateway)
    assert gateway.files() == [], "pixels without a name, which no purge will ever find"


def test_a_blob_that_another_study_has_too_stays(gateway: Gateway, tmp_path: Path) -> None:
    """Bytes are kept once however many names they have: a quarantined copy of one may be another's own."""
    gateway.admit(arrival(1))
    gateway.admit(arrival(2, StudyInstanceUID=f"{ROOT}.2.2"))
    with gateway.store.writing() as tx:  # as two gateways with two keys would have left it
        own = tx.execute(gateway_instances.select().order_by(gateway_instances.c.sop_uid)).all()
        tx.execute(
            gateway_quarantine.insert().values(
                instance=own[0].instance, blob=own[1].blob, reason="other bytes", received=own[0].received
            )
        )
    assert forget(gateway).blobs == 1
    assert gateway.files() == [own[1].blob]
    assert tmp_path.exists()


def test_a_purged_study_may_come_again(gateway: Gateway) -> None:
    gateway.admit(arrival(1))
    forget(gateway)
    gateway.admit(arrival(1))
    assert gateway.count(gateway_instances) == len(gateway.files()) == 1
