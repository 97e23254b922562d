-- Purpose: nobody in the release, default Homes included, has an empty Home.
-- Bad row: a listener key with shelves but no card.
SELECT listener, n_rows FROM audit_listener WHERE cards = 0;
