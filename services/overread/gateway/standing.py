"""What the gateway has, in numbers: for `overread status`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from overread.gateway.tables import gateway_instances, gateway_patients, gateway_quarantine


def standing(tx: Connection) -> dict[str, Any]:
    """Return counts of studies, instances, quarantined instances, and patients by split."""
    splits = tx.execute(
        select(gateway_patients.c.split, func.count().label("number")).group_by(gateway_patients.c.split)
    )
    return {
        "studies": tx.execute(select(func.count(gateway_instances.c.study.distinct()))).scalar_one(),
        "instances": tx.execute(select(func.count(gateway_instances.c.instance))).scalar_one(),
        "quarantined": tx.execute(select(func.count(gateway_quarantine.c.id))).scalar_one(),
        "patients": {row.split: row.number for row in splits},
    }


def stored(tx: Connection) -> set[str]:
    """Return the SOP Instance UIDs that are here: what a sender's own list is held against."""
    return set(tx.execute(select(gateway_instances.c.sop_uid)).scalars())
