"""May this instance come in? If so it is on the disk and announced before the peer hears "success"."""

from __future__ import annotations

import logging
import re
import struct
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from pydicom import dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from sqlalchemy import Connection, select

from overread import tracing
from overread.core.clock import Clock, utc_now
from overread.core.codec import Envelope
from overread.core.errors import Refused, StoreUnavailable
from overread.core.events import InstanceReceived
from overread.core.pseudonyms import Pseudonyms
from overread.core.splits import SplitPolicy
from overread.gateway.patients import split_of
from overread.gateway.tables import gateway_instances, gateway_quarantine
from overread.handler import Outbox
from overread.store.blobs import Blobs
from overread.store.engine import Store, upsert

log = logging.getLogger(__name__)

SUCCESS = 0x0000
DUPLICATE = 0x0111
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
_ODD = (
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises on bytes that are no data set. Its words may quote them and are never repeated."""
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "IssuerOfPatientID",
    "Modality",
]


@dataclass(frozen=True)
class Arrival:
    """One C-STORE request: the command's identity beside the bytes (PS3.10 file, as received)."""

    content: bytes
    sop_class: str
    sop_instance: str
    calling_ae: str


class Admission:
    """Checks identity, stores, announces. Thread-safe: each association has its own thread."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        blobs: Blobs,
        pseudonyms: Pseudonyms,
        policy: SplitPolicy,
        *,
        maximum_bytes: int = 2 << 30,
        clock: Clock = utc_now,
    ) -> None:
        self._store, self._outbox, self._blobs = store, outbox, blobs
        self._pseudonyms, self._policy = pseudonyms, policy
        self._maximum_bytes, self._clock = maximum_bytes, clock

    def admit(self, arrival: Arrival) -> None:
        """Return when the bytes are fsynced and `InstanceReceived` is committed.

        The same instance with the same bytes again is a success and says nothing new.

        Raises:
            Refused: with the DICOM status (PS3.4 table B.2-1) that the peer is answered with.
        """
        if len(arrival.content) > self._maximum_bytes:
            raise Refused(OUT_OF_RESOURCES, f"an instance of {len(arrival.content) >> 20} MiB is over the limit")
        header = _header(arrival)
        study = self._pseudonyms.study(header["StudyInstanceUID"])
        try:
            with tracing.span("C-STORE", study):
                blob = self._blobs.put(arrival.content)
                with self._store.writing() as tx:
                    other = self._enter(tx, arrival, header, blob, study)
        except StoreUnavailable as error:
            raise Refused(OUT_OF_RESOURCES, str(error)) from error
        if other:
            raise Refused(DUPLICATE, "this SOP Instance UID is here with other bytes; the new ones are in quarantine")

    def _enter(self, tx: Connection, arrival: Arrival, header: dict[str, str], blob: str, study: str) -> bool:
        """Write one row and one event; True where the UID is taken by other bytes."""
        instance = self._pseudonyms.instance(arrival.sop_instance)
        row = tx.execute(select(gateway_instances.c.blob).where(gateway_instances.c.instance == instance)).first()
        now: datetime = self._clock()
        if row is not None:
            if row.blob != blob:
                kept = {"instance": instance, "blob": blob, "reason": "duplicate UID, other bytes", "received": now}
                tx.execute(upsert(gateway_quarantine).values(**kept).on_conflict_do_nothing())
            return bool(row.blob != blob)
        patient = self._pseudonyms.patient(header["PatientID"], header["IssuerOfPatientID"])
        # A list of given splits knows numbers, no issuers.
        without_issuer = self._pseudonyms.patient(header["PatientID"])
        tx.execute(
            gateway_instances.insert().values(
                instance=instance,
                sop_uid=arrival.sop_instance,
                study_uid=header["StudyInstanceUID"],
                study=study,
                patient=patient,
                site=arrival.calling_ae,
                blob=blob,
                received=now,
            )
        )
        event = InstanceReceived(
            instance=instance,
            series=self._pseudonyms.series(header["SeriesInstanceUID"]),
            study=study,
            patient=patient,
            split=split_of(tx, patient, without_issuer, self._policy, self._pseudonyms),
            site=arrival.calling_ae,
            sop_class=arrival.sop_class,
            modality=header["Modality"] if _CODE.fullmatch(header["Modality"]) else "OT",
            blob=blob,
        )
        self._outbox(tx, [Envelope(event, "gateway", time=now).record()])
        return False


def _header(arrival: Arrival) -> dict[str, str]:
    """Parse what admission needs; what is absent is empty.

    Raises:
        Refused: 0xC000 where it can't be parsed, 0xA900 where identity is missing or contradicts the command.
    """
    try:
        header = dcmread(BytesIO(arrival.content), stop_before_pixels=True, specific_tags=_TAGS)
        values = {name: str(header.get(name) or "") for name in _TAGS}
        several = isinstance(header.get("PatientID"), MultiValue)
    except _ODD as error:
        raise Refused(CANNOT_UNDERSTAND, f"the data set can't be parsed ({type(error).__name__})") from error
    if values["SOPClassUID"] != arrival.sop_class or values["SOPInstanceUID"] != arrival.sop_instance:
        raise Refused(MISMATCH, "SOP class or instance UID of command and data set differ")
    for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if len(values[name]) > 64 or not _UID.fullmatch(values[name]):
            raise Refused(MISMATCH, f"{name} is missing or no UID (PS3.5 section 9.1)")
    if several or not values["PatientID"].strip():
        what = "has several values" if several else "is missing"
        raise Refused(MISMATCH, f"PatientID (0010,0020) {what}: the patient can't be kept on one side of the split")
    return values
