-- Purpose: a row is for any time of day (-1) or one of the four dayparts.
-- Bad row: one with another number.
SELECT listener, shelf, daypart FROM homerec.home_shelf
WHERE release_id = %(release)s AND daypart NOT BETWEEN -1 AND 3;
