"""The state machine, its evidence and its signatures. Rows are added, and only `state` ever changes."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, DateTime, Float, Index, Integer, PrimaryKeyConstraint, String, Table

from overread.store.engine import metadata

rollout_candidates = Table(
    "rollout_candidates",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("series", String, nullable=False),
    Column("slice", Integer, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("detector_score", Float),
    Index("rollout_candidates_study", "study"),
)
"""The locked set: candidates of locked patients, until the set closes."""

rollout_truth = Table(
    "rollout_truth",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("label", Integer),
    Column("readers", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("source", String, nullable=False),
    Index("rollout_truth_study", "study"),
)
"""What readers said of locked patients' candidates. Apart, since an answer may overtake its candidate."""

rollout_versions = Table(
    "rollout_versions",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("cleared", Boolean, nullable=False, default=False),
    Column("previous", Integer),
)

rollout_transitions = Table(
    "rollout_transitions",
    metadata,
    Column("order", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("from_state", String),
    Column("to_state", String, nullable=False),
    Column("by", String, nullable=False),
    Column("reason", String),
    Column("time", DateTime(timezone=True), nullable=False),
)
"""Every act, append-only."""

rollout_evidence = Table(
    "rollout_evidence",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("champion", Integer),
    Column("answer", String, nullable=False),
    Column("gate", String, nullable=False),
    Column("content", JSON, nullable=False),
    Index("rollout_evidence_version", "version"),
)
"""What the gate saw and answered; the key is the hash of `content`, and it is what a signature covers."""

rollout_signoffs = Table(
    "rollout_signoffs",
    metadata,
    Column("evidence", String, nullable=False),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("meaning", String, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("evidence", "name"),
)

rollout_champions = Table(
    "rollout_champions",
    metadata,
    Column("order", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("first_clearance", Boolean, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
)
"""Who served, in order. The row with `first_clearance` names the cleared baseline and closes the locked set."""
