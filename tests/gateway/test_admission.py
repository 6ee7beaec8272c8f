"""Success is said only of what is on the disk and announced; everything else has its own status and leaves nothing."""

from __future__ import annotations

import hashlib
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, MRImageStorage
from sqlalchemy import event, select

from gateway.arrivals import ROOT, Gateway, arrival, renamed
from overread.core.errors import Refused
from overread.core.events import InstanceReceived
from overread.core.splits import SplitPolicy
from overread.gateway.admission import Arrival
from overread.gateway.tables import gateway_instances, gateway_patients, gateway_quarantine
from overread.store.engine import Store
from overread.store.tables import outbox


def refused(gateway: Gateway, one: Arrival) -> int:
    with pytest.raises(Refused) as caught:
        gateway.admit(one)
    return caught.value.status


def nothing_was_kept(gateway: Gateway) -> bool:
    tables = (gateway_instances, gateway_patients, gateway_quarantine, outbox)
    return [gateway.count(table) for table in tables] == [0, 0, 0, 0]


def test_an_instance_is_on_the_disk_in_the_table_and_announced(gateway: Gateway) -> None:
    one = arrival()
    gateway.admit(one)
    key = hashlib.sha256(one.content).hexdigest()
    assert gateway.blobs.get(key) == one.content
    with gateway.store.reading() as tx:
        row = tx.execute(select(gateway_instances)).one()
    assert (row.sop_uid, row.study_uid, row.site, row.blob) == (f"{ROOT}.1.1", f"{ROOT}.2.1", "MODALITY", key)
    (said,) = gateway.events()
    names = gateway.pseudonyms
    assert isinstance(said, InstanceReceived)
    assert said.model_dump() == {
        "instance": names.instance(f"{ROOT}.1.1"),
        "series": names.series(f"{ROOT}.3.1"),
        "study": names.study(f"{ROOT}.2.1"),
        "patient": names.patient("patient-1"),
        "split": said.split,
        "site": "MODALITY",
        "sop_class": CTImageStorage,
        "modality": "CT",
        "blob": key,
    }
    (envelope,) = gateway.envelopes()
    assert envelope.source == "gateway"


def test_row_and_event_are_of_one_transaction(gateway: Gateway) -> None:
    """A crash between the two, made by an outbox that dies, leaves neither."""

    class Killed(BaseException):
        pass

    def dies(_tx: Any, _records: Any) -> None:
        raise Killed

    living = gateway.admission._outbox
    gateway.admission._outbox = dies
    with pytest.raises(Killed):
        gateway.admit(arrival())
    assert nothing_was_kept(gateway)
    gateway.admission._outbox = living
    gateway.admit(arrival())
    assert gateway.count(gateway_instances) == len(gateway.events()) == 1


def test_the_same_bytes_again_are_a_success_and_nothing_new(gateway: Gateway) -> None:
    for _ in range(3):
        gateway.admit(arrival())
    assert len(gateway.events()) == gateway.count(gateway_instances) == len(gateway.files()) == 1
    assert gateway.count(gateway_quarantine) == 0


def test_other_bytes_under_a_known_uid_are_quarantined_once(gateway: Gateway) -> None:
    first = arrival()
    gateway.admit(first)
    other = arrival(PixelData=bytes(31) + b"\1")
    assert refused(gateway, other) == 0x0111
    assert refused(gateway, other) == 0x0111
    assert len(gateway.events()) == gateway.count(gateway_instances) == gateway.count(gateway_quarantine) == 1
    with gateway.store.reading() as tx:
        kept = tx.execute(select(gateway_quarantine)).one()
    assert gateway.blobs.get(kept.blob) == other.content
    gateway.admit(first)


def test_one_instance_over_many_associations_at_once_is_announced_once(gateway: Gateway) -> None:
    one, failed = arrival(), []

    def send() -> None:
        try:
            gateway.admit(one)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(gateway.events()) == gateway.count(gateway_instances) == 1


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(renamed(arrival(), f"{ROOT}.1.2"), id="another instance in the command"),
        pytest.param(replace(arrival(), sop_class=MRImageStorage), id="another class in the command"),
        pytest.param(arrival(PatientID=None), id="no PatientID"),
        pytest.param(arrival(PatientID=""), id="an empty PatientID"),
        pytest.param(arrival(PatientID="   "), id="a blank PatientID"),
        pytest.param(arrival(PatientID="A\\B"), id="two PatientIDs"),
        pytest.param(arrival(StudyInstanceUID=None), id="no study"),
        pytest.param(arrival(SeriesInstanceUID=""), id="no series"),
    ],
)
def test_identity_that_is_missing_or_contradicts_itself_is_a_mismatch(gateway: Gateway, one: Arrival) -> None:
    assert refused(gateway, one) == 0xA900
    assert nothing_was_kept(gateway)
    assert gateway.files() == []


ABSURD = (
    "../../etc/passwd",
    "/etc/passwd",
    "1.2.3/../4",
    "1",
    "1..2",
    ".1.2",
    "1.2.",
    "1.2.x",
    "1." * 32 + "12",
    "1.2\\1.3",
)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own, when the test writes such a UID
@pytest.mark.parametrize("uid", ABSURD)
@pytest.mark.parametrize("name", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_absurd_uids_are_a_mismatch_and_touch_no_file(gateway: Gateway, name: str, uid: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    one = replace(arrival(**{name: uid}), sop_instance=uid if name == "SOPInstanceUID" else f"{ROOT}.1.1")
    assert refused(gateway, one) == 0xA900
    assert nothing_was_kept(gateway)
    assert sorted(tmp_path.rglob("*")) == before


GARBAGE = {
    "nothing": b"",
    "text": b"this is no DICOM",
    "zeros": bytes(4096),
    "a prefix alone": bytes(128) + b"DICM",
    "cut off within the header": arrival().content[:300],
    "noise after the prefix": bytes(128) + b"DICM" + bytes(range(256)) * 8,
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_what_cannot_be_parsed_is_not_understood(gateway: Gateway, content: bytes) -> None:
    assert refused(gateway, replace(arrival(), content=content)) in {0xC000, 0xA900}
    assert nothing_was_kept(gateway)
    assert gateway.files() == []


def test_garbage_is_not_understood(gateway: Gateway) -> None:
    assert refused(gateway, replace(arrival(), content=b"this is no DICOM")) == 0xC000


def test_a_flipped_byte_is_admitted_or_refused_with_a_status(gateway: Gateway) -> None:
    admitted, statuses = 0, set()
    for place in range(0, len(arrival().content), 2):
        content = bytearray(arrival().content)
        content[place] ^= 0xFF
        try:
            gateway.admit(replace(arrival(), content=bytes(content)))
            admitted = 1
        except Refused as error:
            statuses.add(error.status)
    assert statuses == {0xA900, 0xC000, 0x0111}
    assert gateway.count(gateway_instances) == len(gateway.events()) == admitted


@pytest.mark.parametrize(
    ("modality", "said"), [("CT", "CT"), ("", "OT"), (None, "OT"), ("CT\\MR", "OT"), ("Muster, Erika", "OT")]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_modality_that_is_no_code_is_other(gateway: Gateway, modality: str | None, said: str) -> None:
    gateway.admit(arrival(Modality=modality))
    (event_,) = gateway.events()
    assert isinstance(event_, InstanceReceived)
    assert event_.modality == said


def test_two_issuers_of_one_number_are_two_patients(gateway: Gateway) -> None:
    gateway.admit(arrival(1, IssuerOfPatientID="NORTH"))
    gateway.admit(arrival(2, IssuerOfPatientID="SOUTH"))
    gateway.admit(arrival(3, IssuerOfPatientID="A\\B"))
    assert gateway.count(gateway_patients) == 3


def test_an_instance_over_the_limit_is_out_of_resources(gateway: Gateway) -> None:
    gateway.admission = gateway.admit_with(SplitPolicy(), maximum_bytes=100)
    assert refused(gateway, arrival()) == 0xA700
    assert nothing_was_kept(gateway)
    assert gateway.files() == []


def test_a_disk_below_its_reserve_takes_nothing_and_keeps_nothing(store: Store, tmp_path: Path) -> None:
    full = Gateway(store, tmp_path, reserve=shutil.disk_usage(tmp_path).free + (1 << 40))
    assert refused(full, arrival()) == 0xA700
    assert nothing_was_kept(full)
    assert full.files() == []
    Gateway(store, tmp_path).admit(arrival())


def test_a_full_database_takes_nothing_and_works_again_when_there_is_room(gateway: Gateway) -> None:
    gateway.admit(arrival(1))

    def limit(connection: Any, _record: Any, _proxy: Any = None) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    engine = gateway.store.engine
    event.listen(engine, "checkout", limit)
    statuses = []
    for number in range(2, 400):
        try:
            gateway.admit(arrival(number))
        except Refused as error:
            statuses.append(error.status)
            break
    assert statuses == [0xA700]
    assert len(gateway.events()) == gateway.count(gateway_instances) == number - 1, "half of it was written"
    event.remove(engine, "checkout", limit)
    engine.dispose()
    gateway.admit(arrival(number))
    assert len(gateway.events()) == gateway.count(gateway_instances) == number
