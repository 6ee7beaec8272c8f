"""What the trainer knows. Of locked patients it knows that they are to be read, and never how that ended."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
)

from overread.store.engine import metadata

trainer_pool = Table(
    "trainer_pool",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("split", String, nullable=False),
    Column("arrived", DateTime(timezone=True), nullable=False),
    Column("read", Boolean, nullable=False, default=False),
    Index("trainer_pool_unread", "split", "read", "candidate"),
    Index("trainer_pool_study", "study"),
)

trainer_scores = Table(
    "trainer_scores",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("model", String, nullable=False),
    Column("classes", Integer, nullable=False),
    Column("logits", LargeBinary, nullable=False),
    Column("embedding", LargeBinary),
    Index("trainer_scores_study", "study"),
    Index("trainer_scores_model", "model", "candidate"),
)
"""The last model's logits: float32, little-endian, (m, classes); and its embedding: float16, little-endian, (d,).

Apart from the pool, since a score may overtake its candidate.
"""

trainer_labels = Table(
    "trainer_labels",
    metadata,
    Column("candidate", String, primary_key=True),
    Column("study", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("split", String, nullable=False),
    Column("series", String, nullable=False),
    Column("slice", Integer, nullable=False),
    Column("x", Float, nullable=False),
    Column("y", Float, nullable=False),
    Column("label", Integer),
    Column("agreement", Float, nullable=False),
    Column("readers", Integer, nullable=False),
    Column("verdict", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("source", String, nullable=False),
    Column("purpose", String),
    Column("since", DateTime(timezone=True), nullable=False),
    Index("trainer_labels_study", "study"),
)
"""The latest fact of each candidate of train and validation patients; `label` is None where nobody may learn
from it, `since` when its first fact was said."""

trainer_requests = Table(
    "trainer_requests",
    metadata,
    Column("candidate", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("study", String, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("strategy", String),
    Column("model", String),
    Column("score", Float),
    Column("entropy", Float),
    Column("diversity", Float),
    Column("majority", Integer),
    Column("propensity", Float),
    PrimaryKeyConstraint("candidate", "purpose"),
    Index("trainer_requests_round", "round"),
)
"""What was asked for, and the terms that put it there. `propensity` is the probability of being among those asked for
together (`ReadRequested` says of whom), None where the draw knows none."""

trainer_versions = Table(
    "trainer_versions",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("round", Integer, nullable=False),
    Column("verdict", String, nullable=False),
    Column("promotion", Integer),
)
"""`verdict`: pending | promoted | rejected; `promotion` counts promotions, the highest is the champion."""

trainer_rounds = Table(
    "trainer_rounds",
    metadata,
    Column("round", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("strategy", String),
    Column("labels", Integer, nullable=False, default=0),
    Column("labels_sha256", String),
    Column("parent", Integer),
    Column("version", Integer),
    Column("sha256", String),
    Column("auc_validation", Float),
    Column("best_epoch", Integer),
    Column("depth", Integer),
    Column("searched", Integer),
    Column("seconds", Float),
    Column("changed", DateTime(timezone=True), nullable=False),
)
"""`state`: waiting (for more labels), reading (what was asked for), stopped (nobody may ask), each with its reason |
registered. `labels_sha256` is what it learnt, or what it had when it said so. `depth` is how many blocks it trained,
None where all; `searched` how many labels it had when it looked for that depth, None where it didn't look. Round 0 is
the bootstrap."""

trainer_learnt = Table(
    "trainer_learnt",
    metadata,
    Column("round", Integer, nullable=False),
    Column("candidate", String, nullable=False),
    Column("study", String, nullable=False),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("round", "candidate"),
    Index("trainer_learnt_study", "study"),
)
"""The labels, each in its version, that a registered round knew and its parent did not. What a version has learnt is
told by its line of parents: a rejected round's labels are new to the next one, and so are they after a roll-back."""
