"""What was scored by which model, and which models were promoted."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table

from overread.store.engine import metadata

inference_candidates = Table(
    "inference_candidates",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("split", String, nullable=False),
    Column("series", String, nullable=False),
    Column("slice", Integer, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("read", Boolean, nullable=False, default=False),
    Column("model", String),
    Column("problem", String),
    Index("inference_candidates_pool", "read", "model"),
    Index("inference_candidates_study", "study"),
)
"""`model` is the SHA-256 of the model whose score was published last; `problem` why there is none."""

inference_read = Table(
    "inference_read",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Index("inference_read_study", "study"),
)
"""Candidates that a reader has answered. Apart, since the answer may overtake the candidate."""

inference_models = Table(
    "inference_models",
    metadata,
    Column("order", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("cleared", Boolean, nullable=False),
)
"""Promotions in their order; the last one is to serve."""
