"""Every error that Overread raises on purpose.

::

    OverreadError
    ├── InvalidEvent          a message that no retry will mend            → dead letter
    │   └── NotYetKnown       a newer version's word or type               → dead letter that is parked
    ├── Retryable             something is away and will come back         → retry in place
    │   ├── BusUnavailable
    │   ├── StoreUnavailable
    │   ├── RegistryUnavailable
    │   └── PacsUnavailable
    ├── Refused               a peer asked for what it cannot have         → carries a DICOM status
    ├── Undecodable           bytes that are no image that we can read     → the instance is set aside
    ├── Conflict              compare-and-set lost, or a key was reused    → REST 409, 412, 422
    ├── Fenced                this member lost its partitions to another   → poll again
    ├── GateFailed            a gate answered anything but `successful`
    ├── DigestMismatch        a model file is not the file that was registered
    └── Misconfigured         the operator has to change something         → exit code 2

A message says what was wrong, where, and what to do. It never holds a patient's name or number.
"""

from __future__ import annotations


class OverreadError(Exception):
    """The root of the tree: catch it to catch all of ours and nothing else."""


class InvalidEvent(OverreadError):
    """A message that can never be handled: unknown type, broken JSON, a field that contradicts another."""


class NotYetKnown(InvalidEvent):
    """A type of ours, or a word of one of its lists, that this version does not know: a later version will."""


class Retryable(OverreadError):
    """Something outside is away; the same call may succeed later."""


class BusUnavailable(Retryable):
    """The bus does not answer."""


class StoreUnavailable(Retryable):
    """The database does not answer, or stayed locked beyond the time limit."""


class RegistryUnavailable(Retryable):
    """MLflow does not answer."""


class PacsUnavailable(Retryable):
    """The peer refused or dropped the association."""


class Refused(OverreadError):
    """A DIMSE request that is answered with a failure status (PS3.7 annex C, PS3.4 table B.2-1)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Undecodable(OverreadError):
    """An instance whose pixels or content can't be read."""


class Conflict(OverreadError):
    """The state is not what the caller believed it to be."""


class Fenced(OverreadError):
    """A consumer acted under an assignment that it no longer holds."""


class GateFailed(OverreadError):
    """A rollout act that the gates do not allow."""


class DigestMismatch(OverreadError):
    """The SHA-256 of a model file differs from the one that was registered; the file is not loaded."""


class Misconfigured(OverreadError):
    """A setting that can't work; the message names the setting and a value that does."""
