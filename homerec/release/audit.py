"""The audit: SQL that returns bad rows, run on what was stored and against the live release."""

import logging
from typing import Any

from psycopg2.extras import Json

from homerec.errors import AuditFailed
from homerec.lake import read_sql
from homerec.release.bundle import Bundle
from homerec.release.info import AuditLimits
from homerec.release.session import execute, rows
from homerec.settings import resource

logger = logging.getLogger(__name__)

EXAMPLES = 3
#: Listeners whose Home is compared with their live one, at most; fewer in common than the least say
#: nothing.
OVERLAP_SAMPLE = 2_000
OVERLAP_LEAST = 50

_COUNTS = """
    SELECT (SELECT count(*) FROM audit_listener WHERE listener > 0),
           (SELECT coalesce(sum(n_rows), 0)::bigint FROM audit_listener),
           (SELECT coalesce(sum(cards), 0)::bigint FROM audit_listener WHERE listener > 0),
           (SELECT count(*) FROM homerec.listener)
"""
_SHELVES = """
    SELECT s.name, coalesce(sum(a.cards), 0)::bigint, count(DISTINCT a.item)
    FROM homerec.release_shelf s LEFT JOIN audit_card a ON a.shelf = s.shelf
    WHERE s.release_id = %(release)s AND s.kind <> 'editorial'
    GROUP BY s.name
"""
_OVERLAP = """
    WITH live AS (SELECT release_id FROM homerec.live_release WHERE release_id IS NOT NULL),
    chosen AS (
        SELECT a.listener FROM audit_listener a WHERE a.listener > 0
        ORDER BY hashint4(a.listener) LIMIT %(sample)s
    ),
    both_homes AS (
        SELECT c.listener,
            ARRAY(SELECT DISTINCT unnest(h.items) FROM homerec.home_shelf h
                  WHERE h.release_id = %(release)s AND h.listener = c.listener) AS new,
            ARRAY(SELECT DISTINCT unnest(h.items) FROM homerec.home_shelf h
                  WHERE h.release_id = (SELECT release_id FROM live) AND h.listener = c.listener) AS
                      old
        FROM chosen c
    )
    SELECT count(*),
           avg((SELECT count(*) FROM unnest(new) u WHERE u = ANY (old))::float8 / cardinality(new))
    FROM both_homes WHERE cardinality(new) > 0 AND cardinality(old) > 0
"""


def audit(connection: Any, release_id: int, bundle: Bundle, limits: AuditLimits) -> dict[str, Any]:
    """Run every check in ``sql/checks`` on a stored release, and keep the verdict with it.

    Parameters
    ----------
    connection : psycopg2 connection
        In autocommit mode, of the role that writes.
    release_id : int
        A stored release that is not live.
    bundle : Bundle
        Says how many listeners are eligible.
    limits : AuditLimits
        How far it may differ from the live release.

    Returns
    -------
    dict
        The release's counts.

    Raises
    ------
    AuditFailed
        A check returned rows; the message names each such check, its number and its first rows.
    """
    parameters: dict[str, Any] = {
        "release": release_id,
        "eligible": bundle.eligible,
        **vars(limits),
    }
    prepared = ("card", "listener")
    execute(connection, "SET work_mem = '128MB'")
    for name in prepared:
        execute(connection, read_sql(f"checks/prepare/{name}.sql"), parameters)
        execute(connection, f"ANALYZE audit_{name}")
    try:
        counts = _counts(connection, release_id)
        parameters["counts"] = Json(counts)
        names = sorted(path.stem for path in resource("sql/checks").glob("*.sql"))
        found = {name: _bad_rows(connection, name, parameters) for name in names}
    finally:
        for name in prepared:
            execute(connection, f"DROP TABLE IF EXISTS pg_temp.audit_{name}")
        execute(connection, "RESET work_mem")
    verdict = {name: n for name, (n, _) in found.items()}
    execute(
        connection,
        "UPDATE homerec.release SET counts = %s, audit = %s WHERE release_id = %s",
        (Json(counts), Json({"bad_rows": verdict, "limits": vars(limits)}), release_id),
    )
    failed = [_sentence(name, n, examples) for name, (n, examples) in found.items() if n]
    if failed:
        raise AuditFailed(
            f"Release {release_id} of {bundle.as_of} broke {len(failed)} of {len(found)} checks; "
            "the live release "
            f"stays. {' '.join(failed)} See docs/runbook.md#audit."
        )
    return counts


def _counts(connection: Any, release_id: int) -> dict[str, Any]:
    listeners, n_rows, cards, known = rows(connection, _COUNTS)[0]
    shelves = rows(connection, _SHELVES, {"release": release_id})
    common, overlap = rows(connection, _OVERLAP, {"release": release_id, "sample": OVERLAP_SAMPLE})[
        0
    ]
    return {
        "listeners": int(listeners),
        "rows": int(n_rows),
        "cards": int(cards),
        "default_share": round(1 - min(listeners, known) / known, 6) if known else 0.0,
        "overlap": round(float(overlap), 6) if common >= OVERLAP_LEAST else None,
        "shelf_cards": {name: int(n) for name, n, _ in shelves},
        "shelf_items": {name: int(n) for name, _, n in shelves},
    }


def _bad_rows(
    connection: Any, name: str, parameters: dict[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """Run one check; return how many bad rows it has and the first of them."""
    check = read_sql(f"checks/{name}.sql").rstrip().removesuffix(";")
    query = f"SELECT count(*) OVER () AS bad_rows, bad.* FROM ({check}) AS bad LIMIT {EXAMPLES}"  # noqa: S608 - our files
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        found = cursor.fetchall()
        columns = [column.name for column in cursor.description][1:]
    if not found:
        return 0, []
    return int(found[0][0]), [dict(zip(columns, row[1:], strict=True)) for row in found]


def _sentence(name: str, n: int, examples: list[dict[str, Any]]) -> str:
    shown = "; ".join(", ".join(f"{key} {value}" for key, value in row.items()) for row in examples)
    return f"{name}: {n} bad rows, allowed 0 ({shown}{'; ...' if n > len(examples) else ''})."
