"""how deep each round trained

Rounds from before trained all layers, and never looked for another depth: both columns stay empty there.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("trainer_rounds", schema=None) as batch_op:
        batch_op.add_column(sa.Column("depth", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("searched", sa.Integer(), nullable=True))
