"""with what probability each read was drawn

Reads that were asked for before keep none: what the draw knew was thrown away.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("trainer_requests", schema=None) as batch_op:
        batch_op.add_column(sa.Column("propensity", sa.Float(), nullable=True))
