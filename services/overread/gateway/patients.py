"""The split of a patient: decided once, at first sight."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from overread.core.codec import Envelope
from overread.core.events import Event, ModelPromoted
from overread.core.pseudonyms import Pseudonyms
from overread.core.splits import Split, SplitPolicy
from overread.gateway.tables import gateway_closures, gateway_patients
from overread.handler import Effect
from overread.store.engine import upsert


def split_of(tx: Connection, patient: str, without_issuer: str, policy: SplitPolicy, pseudonyms: Pseudonyms) -> Split:
    """Return the patient's split, assigning it if the patient is new.

    `without_issuer` is the pseudonym of the number alone: a split that was given for it holds for every issuer's.
    """
    row = tx.execute(select(gateway_patients.c.split).where(gateway_patients.c.patient == patient)).first()
    if row is not None:
        return Split(row.split)
    closed = tx.execute(select(gateway_closures)).first() is not None
    listed = without_issuer if patient not in policy.given and without_issuer in policy.given else patient
    split = policy.assign(listed, pseudonyms, locked_closed=closed)
    tx.execute(gateway_patients.insert().values(patient=patient, split=split))
    return split


class CloseLockedSet(Effect):
    """The first clearance closes the locked set: whoever comes later could only blur the comparison."""

    consumes = ModelPromoted

    def apply(self, tx: Connection, envelope: Envelope[ModelPromoted], _prepared: None) -> Sequence[Event]:
        """Note the closure."""
        event = envelope.event
        if event.first_clearance:
            row = upsert(gateway_closures).values(version=event.version, closed=envelope.time)
            tx.execute(row.on_conflict_do_nothing())
        return ()
