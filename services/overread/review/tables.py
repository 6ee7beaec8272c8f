"""The room's tables.

The ledger (`review_verdicts`) is only ever appended to; what a candidate is now (`review_candidates`) follows from it.
No table refers to another by a foreign key: events of different topics arrive in any order, so a score or a request to
read may stand here before its candidate does.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
)

from overread.store.engine import metadata

candidates = Table(
    "review_candidates",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    # What CandidateReceived (or the fact of an `added`) says. All null: only a score has come so far.
    Column("patient", String),
    Column("split", String),
    Column("site", String),
    Column("application", String),
    Column("source", String),
    Column("producer", String),
    Column("radius_px", Float),
    Column("detector_score", Float),
    # Where it is now: `amended` moves it.
    Column("series", String),
    Column("slice", Integer),
    Column("x", Float),
    Column("y", Float),
    # Where its source put it: it goes back there when no reader's place stands any more.
    Column("original_series", String),
    Column("original_slice", Integer),
    Column("original_x", Float),
    Column("original_y", Float),
    # The latest score, and whether a reader may see it.
    Column("score", Float),
    Column("score_version", Integer),
    Column("score_cleared", Boolean),
    Column("score_time", DateTime(timezone=True)),
    # After all readers.
    Column("version", Integer, nullable=False, default=0),
    Column("label", Integer),
    Column("agreement", Float, nullable=False, default=0.0),
    Column("readers", Integer, nullable=False, default=0),
    Index("review_candidates_study", "study"),
    Index("review_candidates_series", "series"),
    Index("review_candidates_original_series", "original_series"),
)
"""One row a candidate; it is known once `series` is set."""

reads = Table(
    "review_reads",
    metadata,
    Column("candidate", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("study", String, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("open", Boolean, nullable=False),
    PrimaryKeyConstraint("candidate", "purpose", "round"),
    Index("review_reads_open", "open", "rank"),
    Index("review_reads_study", "study"),
)
"""What was asked for, and whether it still waits for a reader."""

verdicts = Table(
    "review_verdicts",
    metadata,
    Column("correction", String, primary_key=True),
    Column("candidate", String, nullable=False),
    Column("study", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("verdict", String, nullable=False),
    Column("reader", String, nullable=False),
    Column("reason", String),
    # Where the candidate stood after this verdict.
    Column("series", String, nullable=False),
    Column("slice", Integer, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Index("review_verdicts_order", "candidate", "version", unique=True),
    Index("review_verdicts_study", "study"),
)
"""The ledger. The unique index is the last line of compare-and-set: no version of a candidate is said twice."""

requests = Table(
    "review_requests",
    metadata,
    Column("key", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("response", JSON, nullable=False),
    Index("review_requests_study", "study"),
)
"""What was answered under each Idempotency-Key; `sha256` is of the canonical request."""

models = Table(
    "review_models",
    metadata,
    Column("version", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("cleared", Boolean, nullable=False),
    Column("seen", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("version", "sha256"),
)
"""The models whose scores came by; the one that was seen last is serving."""
