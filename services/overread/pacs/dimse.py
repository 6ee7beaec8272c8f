"""DIMSE as a user: C-ECHO and C-STORE (PS3.7 9.1), and the presentation contexts that both of our sides know."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import uid
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, _config, evt
from pynetdicom.dsutils import split_dataset
from pynetdicom.presentation import PresentationContext, build_context

from overread.core.errors import PacsUnavailable

_config.STORE_SEND_CHUNKED_DATASET = True  # a path is sent as it stands on the disk, not decoded and encoded again

MAXIMUM_PDU = 128 << 10
"""Bytes; the default of 16 KiB makes eight times as many calls for the same pixels."""
MAXIMUM_CONTEXTS = 128
"""Context identifiers are the odd numbers up to 255 (PS3.8 9.3.2.2)."""

STORED: tuple[str, ...] = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
    "1.2.840.10008.5.1.4.1.1.1",  # CR
    "1.2.840.10008.5.1.4.1.1.1.1",  # DX for presentation
    "1.2.840.10008.5.1.4.1.1.1.2",  # MG for presentation
    "1.2.840.10008.5.1.4.1.1.6.1",  # US
    "1.2.840.10008.5.1.4.1.1.3.1",  # US multi-frame
    "1.2.840.10008.5.1.4.1.1.77.1.5.1",  # OP 8 bit
    "1.2.840.10008.5.1.4.1.1.77.1.5.2",  # OP 16 bit
    "1.2.840.10008.5.1.4.1.1.7",  # SC
    "1.2.840.10008.5.1.4.1.1.7.1",  # SC multi-frame single bit
    "1.2.840.10008.5.1.4.1.1.7.2",  # SC multi-frame grayscale byte
    "1.2.840.10008.5.1.4.1.1.7.3",  # SC multi-frame grayscale word
    "1.2.840.10008.5.1.4.1.1.7.4",  # SC multi-frame true colour
)
"""SOP classes of images that are taken, each in every syntax of `SYNTAXES`."""

REPORTS: tuple[str, ...] = (
    "1.2.840.10008.5.1.4.1.1.88.11",  # Basic Text SR
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
)

NATIVE: tuple[str, ...] = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
SYNTAXES: tuple[str, ...] = (
    *NATIVE,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.RLELossless,
)

_BRIEF = 30.0
"""How long a peer may take to accept an association or to answer (s)."""


def presentation_contexts() -> list[PresentationContext]:
    """Return what our SCP accepts: Verification, `STORED` in every syntax, `REPORTS` uncompressed.

    An explicit list: offering all that pynetdicom knows costs ten times as long an association.
    """
    contexts = [build_context("1.2.840.10008.1.1", list(NATIVE))]
    contexts += [build_context(sop_class, list(SYNTAXES)) for sop_class in STORED]
    contexts += [build_context(sop_class, list(NATIVE)) for sop_class in REPORTS]
    return contexts


class Sent(NamedTuple):
    """The answer to one C-STORE."""

    file: Path
    sop_uid: str
    status: int
    """DIMSE status (PS3.4 table B.2-1); 0x0000 success, 0xBxxx stored with a warning."""

    @property
    def stored(self) -> bool:
        """Success or warning: the peer has the instance."""
        return self.status == 0 or self.status >> 12 == 0xB


class SendReport(NamedTuple):
    """What came of a list of files."""

    sent: tuple[Sent, ...]
    unreadable: tuple[Path, ...]
    """Files that are no DICOM files; they were not sent."""

    @property
    def stored(self) -> int:
        """Instances that the peer has."""
        return sum(one.stored for one in self.sent)

    @property
    def refused(self) -> list[dict[str, str | int]]:
        """`status` and number of `instances` for each way in which files were not stored."""
        counts = Counter(f"0x{one.status:04X}" for one in self.sent if not one.stored)
        if self.unreadable:
            counts["no DICOM file"] = len(self.unreadable)
        return [{"status": status, "instances": number} for status, number in sorted(counts.items())]


NO_CONTEXT = 0x0122
"""Reported for files whose SOP class and syntax the peer did not accept: SOP class not supported (PS3.7 annex C)."""


def send_at_once(event: Any) -> None:
    """Switch Nagle's algorithm off (for `EVT_CONN_OPEN`): small PDUs otherwise wait 40 ms for the peer's late ACK."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def echo(host: str, port: int, *, called: str, calling: str) -> None:
    """C-ECHO.

    Raises:
        PacsUnavailable: with what to do.
    """
    association = _associate(host, port, called, calling, [build_context("1.2.840.10008.1.1", list(NATIVE))])
    try:
        status = association.send_c_echo()
        if not status or status.Status != 0:
            raise PacsUnavailable(f"{called} at {host}:{port} did not answer C-ECHO with success; look at its log")
    finally:
        association.release()


def send(
    files: Iterable[Path],
    host: str,
    port: int,
    *,
    called: str,
    calling: str,
    on_sent: Callable[[Sent], None] = lambda _sent: None,
    attempts: int = 5,
) -> SendReport:
    """C-STORE files in their order, over one association as far as its 128 contexts reach.

    Exactly the files' own pairs of SOP class and transfer syntax are offered and the files' bytes sent as they stand on
    the disk, so that nothing is ever converted. A dropped association is opened again (0.5 s, 1 s, 2 s … apart) and
    what has no answer is sent again; an SCP answers a repeated instance with success. Every answer is kept.

    Args:
        files: DICOM files.
        host: the peer's.
        port: the peer's.
        called: the peer's AE title.
        calling: ours.
        on_sent: called after each answer, in order.
        attempts: associations in a row without a single answer before it gives up.

    Raises:
        PacsUnavailable: the peer can't be reached, refuses, or keeps dropping the association.
    """
    sent: list[Sent] = []
    unreadable: list[Path] = []

    def keep(answer: Sent) -> None:
        sent.append(answer)
        on_sent(answer)

    for batch in _batches(files, unreadable):
        waiting, failures = batch, 0
        while waiting:
            before = len(waiting)
            try:
                waiting = _store(waiting, host, port, called, calling, keep)
            except PacsUnavailable:
                failures += 1
                if failures >= attempts:
                    raise
            else:
                failures = 0 if len(waiting) < before else failures + 1
                if failures >= attempts:
                    raise PacsUnavailable(
                        f"{called} at {host}:{port} dropped the association {failures} times in a row; "
                        f"{len(waiting)} files wait, the rest is stored; look at its log and send again"
                    )
            if waiting and failures:
                time.sleep(0.5 * 2 ** (failures - 1))
    return SendReport(tuple(sent), tuple(unreadable))


class _File(NamedTuple):
    path: Path
    sop_uid: str
    sop_class: str
    syntax: str

    @property
    def pair(self) -> tuple[str, str]:
        """What has to be negotiated for it."""
        return self.sop_class, self.syntax


def _batches(files: Iterable[Path], unreadable: list[Path]) -> Iterable[list[_File]]:
    """Cut the files, in their order, into lists of at most 128 pairs of SOP class and syntax."""
    batch: list[_File] = []
    pairs: set[tuple[str, str]] = set()
    for path in files:
        try:
            meta, _ = split_dataset(path)
            uids = (meta.MediaStorageSOPInstanceUID, meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
            file = _File(path, *map(str, uids))
        except (InvalidDicomError, AttributeError, EOFError, ValueError, NotImplementedError, OSError):
            unreadable.append(path)
            continue
        if len(pairs | {file.pair}) > MAXIMUM_CONTEXTS:
            yield batch
            batch, pairs = [], set()
        batch.append(file)
        pairs.add(file.pair)
    if batch:
        yield batch


def _associate(host: str, port: int, called: str, calling: str, contexts: Sequence[PresentationContext]) -> Any:
    for title in (called, calling):
        if not 1 <= len(title.strip()) <= 16 or not title.isascii():
            raise PacsUnavailable(f"{title!r} is no AE title: 1 to 16 characters of ASCII (PS3.5 section 6.2)")
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _BRIEF
    where = f"{called} at {host}:{port}"
    try:
        association = entity.associate(
            host,
            port,
            contexts=list(contexts),
            ae_title=called,
            max_pdu=MAXIMUM_PDU,
            evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)],
        )
    except OSError as error:  # a name that nobody knows
        raise PacsUnavailable(f"{where} can't be reached: {error.strerror or error}") from error
    if association.is_established:
        return association
    if association.is_rejected:
        raise PacsUnavailable(
            f"{where} refused the association; is its AE title {called!r}, does it know {calling!r}, has it room?"
        )
    raise PacsUnavailable(f"{where} does not answer; is it started, and is this its host and port?")


def _store(
    files: list[_File], host: str, port: int, called: str, calling: str, on_sent: Callable[[Sent], None]
) -> list[_File]:
    """Send over one association; return the files that got no answer."""
    pairs = dict.fromkeys(file.pair for file in files)
    association = _associate(host, port, called, calling, [build_context(*pair) for pair in pairs])
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    try:
        for place, file in enumerate(files):
            if file.pair not in accepted:
                on_sent(Sent(file.path, file.sop_uid, NO_CONTEXT))
                continue
            if not association.is_established:
                return files[place:]
            try:
                answer = association.send_c_store(file.path)
            except RuntimeError:  # the association ended between the question above and the request
                return files[place:]
            if "Status" not in answer:
                return files[place:]
            on_sent(Sent(file.path, file.sop_uid, int(answer.Status)))
    finally:
        if association.is_established:
            association.release()
    return []
