"""All sources that proposed a card, beside the one that gave its reason.

Revision ID: 0003_proposers
Revises: 0002_availability
"""

from alembic import op

revision = "0003_proposers"
down_revision = "0002_availability"
branch_labels = None
depends_on = None

# Null in releases that were made before: home() then names the one source that they know.
COLUMN = """
ALTER TABLE homerec.home_shelf ADD COLUMN proposers int[];
COMMENT ON COLUMN homerec.home_shelf.proposers IS
    'by card: the sources that proposed it, best rank first, five bits each from the lowest';
"""


def upgrade() -> None:
    op.execute(COLUMN)


def downgrade() -> None:
    # The function returns another row type then; it is made anew by the next upgrade.
    op.execute(
        """
        DELETE FROM homerec.serving_objects;
        DROP FUNCTION IF EXISTS public.home(text, timestamptz, text);
        ALTER TABLE homerec.home_shelf DROP COLUMN proposers
        """
    )
