"""The serving schema: releases, Homes, and the small live tables applied when a Home is read.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE homerec.serving_objects (checksum text NOT NULL);

CREATE TABLE homerec.listener (
    listener int PRIMARY KEY CHECK (listener > 0),
    listener_id text NOT NULL UNIQUE,
    market text NOT NULL,
    time_zone text NOT NULL
);

CREATE TABLE homerec.item (
    item int PRIMARY KEY CHECK (item > 0),
    item_id text NOT NULL UNIQUE,
    type text NOT NULL,
    title text NOT NULL,
    markets text[],
    present boolean NOT NULL DEFAULT true
);
COMMENT ON COLUMN homerec.item.markets IS 'where it may be shown; null = everywhere';
COMMENT ON COLUMN homerec.item.present IS 'whether the last synchronised catalog had it';

CREATE TABLE homerec.blocked (
    item int NOT NULL,
    market text,
    reason text,
    blocked_at timestamptz NOT NULL DEFAULT now(),
    origin text NOT NULL DEFAULT 'live' CHECK (origin IN ('file', 'live')),
    UNIQUE NULLS NOT DISTINCT (item, market)
);
COMMENT ON COLUMN homerec.blocked.market IS 'null = every market';

CREATE TABLE homerec.dismissal (
    listener int NOT NULL,
    item int NOT NULL,
    dismissed_at timestamptz NOT NULL DEFAULT now(),
    origin text NOT NULL DEFAULT 'live' CHECK (origin IN ('file', 'live')),
    PRIMARY KEY (listener, item)
);

CREATE TABLE homerec.editorial_card (
    card bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shelf text NOT NULL,
    market text,
    position int NOT NULL CHECK (position >= 1),
    item int NOT NULL,
    starts_at timestamptz NOT NULL DEFAULT '-infinity',
    ends_at timestamptz NOT NULL DEFAULT 'infinity',
    origin text NOT NULL DEFAULT 'live' CHECK (origin IN ('file', 'live'))
);
CREATE INDEX ON homerec.editorial_card (shelf);
COMMENT ON COLUMN homerec.editorial_card.shelf IS 'title or name of an editorial shelf';
COMMENT ON COLUMN homerec.editorial_card.market IS 'null = every market';

CREATE TABLE homerec.release (
    release_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    as_of date NOT NULL,
    status text NOT NULL CHECK (status IN ('building', 'audited', 'live', 'retired', 'failed')),
    degraded boolean NOT NULL DEFAULT false,
    reasons jsonb NOT NULL DEFAULT '[]',
    versions jsonb NOT NULL DEFAULT '{}',
    counts jsonb NOT NULL DEFAULT '{}',
    audit jsonb NOT NULL DEFAULT '{}',
    note text,
    stored boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE UNIQUE INDEX ON homerec.release (status) WHERE status = 'live';
COMMENT ON COLUMN homerec.release.stored IS 'whether its Homes are still there';
COMMENT ON COLUMN homerec.release.published_at IS 'when it first became live';

CREATE TABLE homerec.live_release (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    release_id bigint REFERENCES homerec.release,
    hold boolean NOT NULL DEFAULT false,
    hold_reason text,
    held_by text,
    since timestamptz NOT NULL DEFAULT now()
);
INSERT INTO homerec.live_release DEFAULT VALUES;

CREATE TABLE homerec.pointer_move (
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    from_release bigint,
    to_release bigint,
    who text NOT NULL,
    why text NOT NULL
);

CREATE TABLE homerec.release_shelf (
    release_id bigint NOT NULL REFERENCES homerec.release ON DELETE CASCADE,
    shelf smallint NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('model', 'rule', 'editorial')),
    size smallint NOT NULL CHECK (size > 0),
    PRIMARY KEY (release_id, shelf),
    UNIQUE (release_id, name)
);

CREATE TABLE homerec.source (
    release_id bigint NOT NULL REFERENCES homerec.release ON DELETE CASCADE,
    source smallint NOT NULL,
    name text NOT NULL,
    label text,
    PRIMARY KEY (release_id, source)
);
COMMENT ON COLUMN homerec.source.label IS
    'reason shown on a card; {item} = title of the reason item';

CREATE TABLE homerec.market_default (
    release_id bigint NOT NULL REFERENCES homerec.release ON DELETE CASCADE,
    market text NOT NULL,
    listener int NOT NULL CHECK (listener < 0),
    PRIMARY KEY (release_id, market)
);
COMMENT ON TABLE homerec.market_default IS
    'Home of listeners that are not known; * = market not known either';

CREATE TABLE homerec.home_shelf (
    release_id bigint NOT NULL,
    listener int NOT NULL,
    shelf smallint NOT NULL,
    daypart smallint NOT NULL,
    items int[] NOT NULL,
    sources smallint[] NOT NULL,
    reason_items int[] NOT NULL,
    PRIMARY KEY (release_id, listener, shelf, daypart)
) PARTITION BY LIST (release_id);
COMMENT ON COLUMN homerec.home_shelf.daypart IS
    '-1 any, 0 night, 1 morning, 2 afternoon, 3 evening';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute(
        """
        DROP FUNCTION IF EXISTS public.home(text, timestamptz, text);
        DROP VIEW IF EXISTS homerec.releases, homerec.status;
        DROP TABLE homerec.home_shelf, homerec.market_default, homerec.source,
        homerec.release_shelf,
            homerec.pointer_move, homerec.live_release, homerec.release, homerec.editorial_card,
            homerec.dismissal, homerec.blocked, homerec.item, homerec.listener,
            homerec.serving_objects
        """
    )
