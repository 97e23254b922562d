"""Licensing windows: where and when an item may be shown, applied when a Home is read.

Revision ID: 0002_availability
Revises: 0001
"""

from alembic import op

revision = "0002_availability"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE homerec.availability (
    item int NOT NULL,
    market text,
    starts_at timestamptz NOT NULL DEFAULT '-infinity',
    ends_at timestamptz NOT NULL DEFAULT 'infinity'
);
CREATE INDEX ON homerec.availability (item);
COMMENT ON TABLE homerec.availability IS
    'windows in which an item may be shown; an item without any is bound by its markets only';
COMMENT ON COLUMN homerec.availability.market IS 'null = every market';
COMMENT ON COLUMN homerec.availability.ends_at IS 'exclusive';

ALTER TABLE homerec.item ADD COLUMN licensed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN homerec.item.licensed IS
    'whether it has windows in homerec.availability: spares all others the look-up';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    # The function names the table in its text only; it is made anew by the next upgrade.
    op.execute(
        """
        DELETE FROM homerec.serving_objects;
        DROP FUNCTION IF EXISTS public.home(text, timestamptz, text);
        ALTER TABLE homerec.item DROP COLUMN licensed;
        DROP TABLE homerec.availability
        """
    )
