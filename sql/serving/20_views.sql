-- Purpose: what a person on call looks at first.
-- homerec.releases: one row a release, newest first. homerec.status: the pointer and the hold, one row.
DROP VIEW IF EXISTS homerec.releases;
CREATE VIEW homerec.releases AS
SELECT r.release_id, r.as_of, r.status, r.release_id = p.release_id AS live, r.degraded, r.reasons, r.versions,
       r.counts, r.audit, r.note, r.stored, r.created_at, r.published_at
FROM homerec.release r LEFT JOIN homerec.live_release p ON p.release_id = r.release_id
ORDER BY r.release_id DESC;

DROP VIEW IF EXISTS homerec.status;
CREATE VIEW homerec.status AS
SELECT p.release_id AS live_release, r.as_of, r.degraded, r.published_at, p.since, p.hold, p.hold_reason, p.held_by
FROM homerec.live_release p LEFT JOIN homerec.release r ON r.release_id = p.release_id;
