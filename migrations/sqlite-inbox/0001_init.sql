-- The inbox: what was acknowledged, in order, and nothing at a random place. See the store's own schema for the rest.

-- "KOpi" in ASCII: tells an inbox from a store and from any other SQLite file.
PRAGMA application_id = 1263497321;

-- Which store this belongs to.
CREATE TABLE inbox_pair (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB NOT NULL
) STRICT;

-- The deliveries of one commit. Written once, never updated; removed when none of them is kept any more.
CREATE TABLE arrivals (
    seq         INTEGER PRIMARY KEY,
    -- How many deliveries, how many of them somebody handles, and when the first arrived.
    count       INTEGER NOT NULL,
    waiting     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    -- Their deduplication keys, 16 bytes each, in order; see `deliveries.dedup` of the store.
    keys        BLOB    NOT NULL,
    -- [{id, source, received_at, handled, attributes, start, length}], in order.
    heads       TEXT    NOT NULL,
    -- Their bodies, one behind the other. They stay here when the deliveries are filed.
    bodies      BLOB    NOT NULL
) STRICT;
