"""indexes in which selection counts what the champion has scored

It looks twice a second while a pool is scored again, and read the scores themselves to count them.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("trainer_pool_unread", "trainer_pool")
    op.create_index("trainer_pool_unread", "trainer_pool", ["split", "read", "candidate"])
    op.create_index("trainer_scores_model", "trainer_scores", ["model", "candidate"])
