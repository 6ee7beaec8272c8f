"""what each round learnt

Rounds from before have no rows: their labels count as new once more, and a round learns them again rather than never.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trainer_learnt",
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.String(), nullable=False),
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("round", "candidate"),
    )
    with op.batch_alter_table("trainer_learnt", schema=None) as batch_op:
        batch_op.create_index("trainer_learnt_study", ["study"], unique=False)
