"""what the relay set aside

Where the relay is stands among the offsets. A house that moves from the embedded bus to a broker has it at 0: the relay
then carries over all that is kept, and rooms pass over what they know.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("refused", sa.String(), nullable=True))
    aside = sa.text("refused IS NOT NULL")
    op.create_index("outbox_refused", "outbox", ["id"], sqlite_where=aside, postgresql_where=aside)
