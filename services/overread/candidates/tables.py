"""Which instances of which study have come, what was wrong with them, and every candidate that was ever announced."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table

from overread.store.engine import metadata

candidates_studies = Table(
    "candidates_studies",
    metadata,
    Column("study", String, primary_key=True),
    Column("patient", String, nullable=False),
    Column("split", String, nullable=False),
    Column("last_seen", Float, nullable=False),
    Index("candidates_studies_due", "last_seen"),
)
"""`last_seen`: when its latest instance was announced (Unix seconds)."""

candidates_instances = Table(
    "candidates_instances",
    metadata,
    Column("instance", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("series", String, nullable=False),
    Column("site", String, nullable=False),
    Column("sop_class", String, nullable=False),
    Column("modality", String, nullable=False),
    Column("blob", String, nullable=False),
    Column("settled", Boolean, nullable=False, default=False),
    Column("waiting", Boolean, nullable=False, default=False),
    Column("problem", String),
    Index("candidates_instances_study", "study"),
    Index("candidates_instances_unsettled", "settled"),
)
"""`settled`: it was looked at. `waiting`: a report that marks images which have not come. `problem`: what was wrong."""

candidates_found = Table(
    "candidates_found",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("series", String, nullable=False),
    Column("source", String, nullable=False),
    Column("instance", String, nullable=False),
    Column("frame", Integer, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("radius_px", Float),
    Index("candidates_found_study", "study"),
)
"""Announced once and never again, however often the study settles. `series` is its pseudonym, not a manifest."""
