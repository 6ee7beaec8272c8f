"""What arrived, and which part each patient plays. The PACS's own UIDs are kept here and nowhere else."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, Integer, String, Table

from overread.store.engine import metadata

gateway_instances = Table(
    "gateway_instances",
    metadata,
    Column("instance", String, primary_key=True),
    Column("sop_uid", String, nullable=False),
    Column("study_uid", String, nullable=False),
    Column("study", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("site", String, nullable=False),
    Column("blob", String, nullable=False),
    Column("received", DateTime(timezone=True), nullable=False),
    Index("gateway_instances_study", "study"),
)

gateway_patients = Table(
    "gateway_patients",
    metadata,
    Column("patient", String, primary_key=True),
    Column("split", String, nullable=False),
)
"""Written at first sight of a patient and never changed."""

gateway_closures = Table(
    "gateway_closures",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("closed", DateTime(timezone=True), nullable=False),
)
"""One row, once a model was cleared: from then on no new patient is locked."""

gateway_quarantine = Table(
    "gateway_quarantine",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance", String, nullable=False),
    Column("blob", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("received", DateTime(timezone=True), nullable=False),
    Index("gateway_quarantine_once", "instance", "blob", unique=True),
)
"""Bytes that came under a UID which already has other bytes: kept for a person to look at."""
