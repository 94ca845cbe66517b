-- The first schema. Times are milliseconds since 1970-01-01T00:00:00Z; ids are the texts the API shows.
-- `seq` is the order of writing and never leaves the store but inside a cursor.

-- "KOps" in ASCII: tells a KubeOps store from any other SQLite file.
PRAGMA application_id = 1263497331;

-- What the inbox writes: the deliveries of one commit as one row, and nothing at a random place. Filing them under their
-- keys is done when they are dispatched, many at once, when no sender waits for it. Written once, never updated.
CREATE TABLE arrivals (
    seq         INTEGER PRIMARY KEY,
    -- How many deliveries, how many of them somebody handles, and when the first arrived.
    count       INTEGER NOT NULL,
    waiting     INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    -- Their deduplication keys, 16 bytes each, in order; see `deliveries.dedup`.
    keys        BLOB    NOT NULL,
    -- [{id, source, received_at, handled, attributes, start, length}], in order.
    heads       TEXT    NOT NULL,
    -- Their bodies, one behind the other. They stay here when the deliveries are filed.
    bodies      BLOB    NOT NULL
) STRICT;

-- Arrivals up to and including `upto` are filed.
CREATE TABLE arrivals_filed (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    upto INTEGER NOT NULL
) STRICT;
INSERT INTO arrivals_filed (id, upto) VALUES (1, 0);

-- Written once and never updated: where a delivery stands is told by the two small tables below and by `handled`.
CREATE TABLE deliveries (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    handled     INTEGER NOT NULL,
    -- First 16 bytes of SHA-256 over the source, a zero byte and the deduplication key: the only index that is written at
    -- random places, so it is kept small.
    dedup       BLOB    NOT NULL,
    attributes  TEXT    NOT NULL,
    -- Where its body is: bytes `start` to `start + length` of the bodies of an arrival.
    arrival     INTEGER NOT NULL REFERENCES arrivals (seq),
    start       INTEGER NOT NULL,
    length      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX deliveries_id ON deliveries (id);
CREATE UNIQUE INDEX deliveries_dedup ON deliveries (dedup);
CREATE INDEX deliveries_source ON deliveries (source);
CREATE INDEX deliveries_received ON deliveries (received_at);
CREATE INDEX deliveries_ignored ON deliveries (handled) WHERE handled = 0;
CREATE INDEX deliveries_arrival ON deliveries (arrival);

-- Deliveries nobody has dispatched yet.
CREATE TABLE deliveries_pending (
    seq INTEGER PRIMARY KEY
) STRICT;
CREATE TRIGGER deliveries_wait AFTER INSERT ON deliveries WHEN NEW.handled = 1 BEGIN
    INSERT INTO deliveries_pending (seq) VALUES (NEW.seq);
END;

-- Deliveries that could not be read.
CREATE TABLE deliveries_failed (
    seq   INTEGER PRIMARY KEY,
    error TEXT NOT NULL
) STRICT;

-- Written once and never updated. `dedup` is made like a delivery's, of the source and the event's key; an event that tells
-- another again has none and names the first in `repeats`.
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    delivery    TEXT,
    source      TEXT,
    kind        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    time        INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    dedup       BLOB,
    repeats     TEXT,
    decisions   TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_id ON events (id);
CREATE UNIQUE INDEX events_dedup ON events (dedup) WHERE dedup IS NOT NULL;
CREATE INDEX events_delivery ON events (delivery) WHERE delivery IS NOT NULL;
CREATE INDEX events_filed ON events (recorded_at) WHERE delivery IS NULL;
CREATE INDEX events_source ON events (source) WHERE source IS NOT NULL;
CREATE INDEX events_kind ON events (kind);
CREATE INDEX events_subject ON events (subject);

CREATE TABLE requests (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    automation  TEXT    NOT NULL,
    correlation TEXT    NOT NULL,
    generation  INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    live        INTEGER NOT NULL GENERATED ALWAYS AS (state IN ('accepted', 'planned', 'proposed', 'approved')) VIRTUAL,
    -- 0 where an alert burns, else 1: whose tasks go first.
    rank        INTEGER NOT NULL,
    -- Of whose event it is: each source has its turn.
    source      TEXT     NOT NULL,
    parameters  TEXT,
    repository  TEXT,
    branch      TEXT,
    base        TEXT,
    checked     TEXT,
    commit_sha  TEXT,
    pushed      TEXT,
    taken_over  INTEGER NOT NULL DEFAULT 0,
    urged       INTEGER NOT NULL DEFAULT 0,
    summary     TEXT    NOT NULL DEFAULT '[]',
    -- What is changed, as data: {files, objects, cut, evidence, first}.
    changes     TEXT,
    pull_text   TEXT,
    pull_number INTEGER,
    pull_url    TEXT,
    former_pull INTEGER,
    -- What the pull request was made to say the last time, as JSON.
    pull_written TEXT,
    -- Whether anybody outside is told what becomes of it.
    tells       INTEGER NOT NULL DEFAULT 0,
    merged      TEXT,
    -- What people and clocks decided about it since, as JSON.
    steering    TEXT    NOT NULL DEFAULT '{}',
    -- Whether an operator asked for it in their own words, and whether a language model drafted its change.
    job         INTEGER NOT NULL DEFAULT 0,
    drafted     INTEGER NOT NULL DEFAULT 0,
    findings    TEXT    NOT NULL,
    message     TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    -- How many events joined it; the first ones leave a note in the timeline.
    joins       INTEGER NOT NULL DEFAULT 0,
    -- The highest number one of its members has; 0 where it stands for no group.
    members     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX requests_id ON requests (id);
CREATE UNIQUE INDEX requests_key ON requests (correlation, automation, generation);
CREATE UNIQUE INDEX requests_live ON requests (automation, correlation) WHERE live = 1;
CREATE INDEX requests_ended ON requests (updated_at) WHERE live = 0;
CREATE INDEX requests_state ON requests (state);
CREATE INDEX requests_automation ON requests (automation);
CREATE INDEX requests_jobs ON requests (seq) WHERE job = 1;
CREATE INDEX requests_repository ON requests (repository) WHERE repository IS NOT NULL;
CREATE INDEX requests_pull ON requests (pull_number, repository) WHERE pull_number IS NOT NULL;
CREATE INDEX requests_former_pull ON requests (former_pull, repository) WHERE former_pull IS NOT NULL;
CREATE INDEX requests_branch ON requests (branch) WHERE branch IS NOT NULL;
CREATE INDEX requests_commit ON requests (commit_sha) WHERE commit_sha IS NOT NULL;
CREATE INDEX requests_pushed ON requests (pushed) WHERE pushed IS NOT NULL;
CREATE INDEX requests_merged ON requests (merged) WHERE merged IS NOT NULL;

-- Which files a request changes, kept by the trigger: who else touches a file is asked at each planning. Of a request that is
-- live or that had a pull request; `merged_at` is 0 while it may still be merged, so that the few that matter stand together, and minus
-- the moment when it ended otherwise.
CREATE TABLE request_files (
    repository TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    merged_at  INTEGER NOT NULL,
    request    INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    PRIMARY KEY (repository, path, merged_at, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_files_request ON request_files (request);
CREATE TRIGGER requests_touch AFTER UPDATE OF changes, repository, state ON requests
WHEN NEW.changes IS NOT OLD.changes OR NEW.repository IS NOT OLD.repository
    OR (NEW.state IN ('accepted', 'planned', 'proposed', 'approved')) <> (OLD.state IN ('accepted', 'planned', 'proposed', 'approved'))
    OR NEW.state = 'merged' AND OLD.state <> 'merged' BEGIN
    DELETE FROM request_files WHERE request = NEW.seq;
    INSERT OR IGNORE INTO request_files (repository, path, merged_at, request)
    SELECT NEW.repository, f.value,
        CASE WHEN NEW.state IN ('merged', 'applied', 'degraded') THEN NEW.updated_at
             WHEN NEW.state IN ('accepted', 'planned', 'proposed', 'approved') THEN 0 ELSE -NEW.updated_at END, NEW.seq
    FROM json_each(NEW.changes, '$.files') f
    WHERE NEW.repository IS NOT NULL
        AND (NEW.state IN ('accepted', 'planned', 'proposed', 'approved', 'merged', 'applied', 'degraded') OR NEW.pull_number IS NOT NULL);
END;

-- The event that opened the request, whole. Apart from the row that changes, so that a change of state writes little.
CREATE TABLE request_events (
    request INTEGER PRIMARY KEY REFERENCES requests (seq) ON DELETE CASCADE,
    event   TEXT NOT NULL
) STRICT;

-- The members of a request that stands for a group of events, in order of arrival.
CREATE TABLE request_members (
    request     INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    correlation TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('active', 'withdrawn', 'refused')),
    -- Whether the last plan took it into account, and whether the branch had its commit when it was last pushed.
    planned     INTEGER NOT NULL DEFAULT 0,
    proposed    INTEGER NOT NULL DEFAULT 0,
    commit_sha  TEXT,
    title       TEXT,
    summary     TEXT    NOT NULL DEFAULT '[]',
    parameters  TEXT,
    findings    TEXT    NOT NULL DEFAULT '[]',
    message     TEXT,
    event_id    TEXT    NOT NULL,
    event       TEXT    NOT NULL,
    joined_at   INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (request, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_members_correlation ON request_members (correlation);
CREATE UNIQUE INDEX request_members_live ON request_members (request, correlation) WHERE state <> 'withdrawn';
-- Asked for again by a person, it begins anew.
CREATE TRIGGER requests_revived AFTER UPDATE OF state ON requests
WHEN NEW.state = 'accepted' AND OLD.state IN ('failed', 'rejected', 'declined') BEGIN
    UPDATE request_members SET planned = 0, proposed = 0, commit_sha = NULL WHERE request = NEW.seq;
END;

-- Requests per state, kept by the triggers: nobody counts millions of ended requests for a metric.
CREATE TABLE request_counts (
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER requests_inserted AFTER INSERT ON requests BEGIN
    INSERT INTO request_counts (state, count) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER requests_moved AFTER UPDATE OF state ON requests WHEN OLD.state <> NEW.state BEGIN
    UPDATE request_counts SET count = count - 1 WHERE state = OLD.state;
    INSERT INTO request_counts (state, count) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER requests_deleted AFTER DELETE ON requests BEGIN
    UPDATE request_counts SET count = count - 1 WHERE state = OLD.state;
END;

-- Pull requests that count towards the limits of their automation, and requests that wait for room under them.
CREATE TABLE admissions (
    seq        INTEGER PRIMARY KEY,
    request    INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    automation TEXT    NOT NULL,
    -- `repository:path`.
    target     TEXT    NOT NULL,
    -- Waits for room; has room and is about to open its pull request; has opened it.
    standing   TEXT    NOT NULL CHECK (standing IN ('waiting', 'held', 'opened')),
    -- Since when.
    at         INTEGER NOT NULL,
    -- What one that waits has no room in: 'automation' or 'target'.
    lacks      TEXT
) STRICT;
CREATE INDEX admissions_of ON admissions (request);
CREATE UNIQUE INDEX admissions_pending ON admissions (request) WHERE standing <> 'opened';
CREATE INDEX admissions_automation ON admissions (automation, standing, at);
CREATE INDEX admissions_target ON admissions (automation, target, standing, at);
CREATE INDEX admissions_waiting ON admissions (standing) WHERE standing = 'waiting';
CREATE TRIGGER admissions_opened AFTER UPDATE OF state ON requests
WHEN OLD.state <> NEW.state AND NEW.state IN ('proposed', 'approved', 'merged', 'declined') BEGIN
    UPDATE admissions SET standing = 'opened', at = NEW.updated_at, lacks = NULL WHERE request = NEW.seq AND standing = 'held';
END;
CREATE TRIGGER admissions_void AFTER UPDATE OF state ON requests
WHEN OLD.state <> NEW.state AND NEW.state IN ('unchanged', 'rejected', 'withdrawn', 'expired', 'failed') BEGIN
    DELETE FROM admissions WHERE request = NEW.seq AND standing <> 'opened';
END;

-- Which event opened or joined which request.
CREATE TABLE event_requests (
    event   INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    request INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    PRIMARY KEY (event, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_requests_request ON event_requests (request);

-- What the newest event said about each key of an automation whose requests can be taken back: an older one that comes late
-- changes nothing. `at` is the event's own time.
CREATE TABLE wishes (
    automation  TEXT    NOT NULL,
    correlation TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    wanted      INTEGER NOT NULL,
    reason      TEXT,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (automation, correlation)
) STRICT, WITHOUT ROWID;
CREATE INDEX wishes_recorded ON wishes (recorded_at);

-- What delivery tools said of a repository's commits: the newest word of each kind, of each application about each revision.
CREATE TABLE deployments (
    -- First 16 bytes of SHA-256 over the repository, a zero byte and what it is a word about: what tools say may be longer than an index takes.
    dedup       BLOB    NOT NULL PRIMARY KEY,
    repository  TEXT    NOT NULL,
    application TEXT    NOT NULL,
    revision    TEXT    NOT NULL,
    -- The name of a cluster; empty where nobody said one.
    cluster     TEXT    NOT NULL,
    -- Directories of the repository, a line each; empty where nobody said any.
    paths       TEXT    NOT NULL,
    -- Whether the repository names whoever said it.
    named       INTEGER NOT NULL,
    standing    TEXT    NOT NULL CHECK (standing IN ('applied', 'degraded', 'failed')),
    message     TEXT,
    -- When, by the sender's word.
    at          INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deployments_newest ON deployments (repository, at);
CREATE INDEX deployments_recorded ON deployments (recorded_at);

-- Which objects a request's change adds, kept by the trigger: who is meant when a run is said to be finished. Of those with names that
-- Kubernetes takes. `heard` is the last event
-- before it was first planned: what was said of that name until then is of another run.
CREATE TABLE request_objects (
    name      TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    request   INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    heard     INTEGER NOT NULL,
    PRIMARY KEY (name, kind, namespace, request)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_objects_request ON request_objects (request);
CREATE TRIGGER requests_add AFTER UPDATE OF changes ON requests WHEN NEW.changes IS NOT OLD.changes BEGIN
    DELETE FROM request_objects WHERE request = NEW.seq AND (name, kind, namespace) NOT IN (
        SELECT o.value ->> '$.object.name', o.value ->> '$.object.kind', coalesce(o.value ->> '$.object.namespace', '')
        FROM json_each(NEW.changes, '$.objects') o WHERE o.value ->> '$.action' = 'added' AND o.value ->> '$.object.name' IS NOT NULL);
    INSERT OR IGNORE INTO request_objects (name, kind, namespace, request, heard)
    SELECT o.value ->> '$.object.name', o.value ->> '$.object.kind', coalesce(o.value ->> '$.object.namespace', ''), NEW.seq,
        coalesce((SELECT max(seq) FROM events), 0)
    FROM json_each(NEW.changes, '$.objects') o WHERE o.value ->> '$.action' = 'added' AND o.value ->> '$.object.name' IS NOT NULL
        AND max(length(CAST(o.value ->> '$.object.name' AS BLOB)), length(CAST(o.value ->> '$.object.kind' AS BLOB)),
                length(CAST(coalesce(o.value ->> '$.object.namespace', '') AS BLOB))) <= 253;
END;

-- What was said of the end of runs; `event` is the first that said it.
CREATE TABLE run_ends (
    name        TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    -- Empty where it has none, or nobody said one.
    namespace   TEXT    NOT NULL,
    -- `*` where nobody said one.
    api_group   TEXT    NOT NULL,
    -- The name of a cluster; empty where nobody said one.
    cluster     TEXT    NOT NULL,
    -- When, by the sender's word.
    at          INTEGER NOT NULL,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('failed', 'succeeded')),
    message     TEXT,
    event       INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (name, kind, namespace, api_group, cluster, at, outcome)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_ends_recorded ON run_ends (recorded_at);

CREATE TABLE timeline (
    seq        INTEGER PRIMARY KEY,
    request    INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    from_state TEXT,
    to_state   TEXT    NOT NULL,
    message    TEXT    NOT NULL,
    actor      TEXT    NOT NULL
) STRICT;
CREATE INDEX timeline_request ON timeline (request);

-- What was told outside of each state a request came to: which act, on which channel. An act that was begun and not done may have
-- happened: it is looked for before it is done again.
CREATE TABLE told (
    request INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    channel TEXT    NOT NULL,
    news    TEXT    NOT NULL,
    act     TEXT    NOT NULL,
    state   TEXT    NOT NULL CHECK (state IN ('begun', 'done', 'refused')),
    note    TEXT,
    at      INTEGER NOT NULL,
    PRIMARY KEY (request, channel, news, act)
) STRICT, WITHOUT ROWID;

-- Comments on pull requests, and reviews, that may hold commands. What they say is asked of the forge; `answer` is kept before it is told, as JSON.
CREATE TABLE commands (
    seq        INTEGER PRIMARY KEY,
    request    INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    repository TEXT    NOT NULL,
    -- The pull request, and the comment or review, by the forge's numbers: each place has ids of its own.
    number     INTEGER NOT NULL,
    place      TEXT    NOT NULL CHECK (place IN ('conversation', 'thread', 'review')),
    comment    INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('asked', 'done', 'told', 'ignored')),
    what       TEXT,
    author     TEXT,
    answer     TEXT,
    at         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX commands_comment ON commands (repository, comment, place, number);
CREATE INDEX commands_request ON commands (request);

-- Comments on pull requests that no request has, and reviews of them: one may be a request's whose number is not noted yet. They go with their events.
CREATE TABLE commands_early (
    seq        INTEGER PRIMARY KEY,
    repository TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    place      TEXT    NOT NULL,
    comment    INTEGER NOT NULL,
    event      INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    -- The id of the task that is owed once a request has the pull request.
    task       TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX commands_early_comment ON commands_early (repository, number, place, comment);
CREATE INDEX commands_early_repository ON commands_early (repository);
CREATE INDEX commands_early_event ON commands_early (event);

-- Tasks that are owed or dead. A task that is done is gone.
CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    request     INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    lane        TEXT    NOT NULL,
    -- Those of a lower one go first.
    rank        INTEGER NOT NULL,
    source      TEXT     NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('waiting', 'leased', 'dead')),
    run_at      INTEGER NOT NULL,
    -- Where it waits for further events: each that comes moves `run_at` on, but never beyond this.
    latest      INTEGER,
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT,
    owner       TEXT,
    lease_until INTEGER,
    fence       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX outbox_id ON outbox (id);
CREATE UNIQUE INDEX outbox_waiting ON outbox (request, kind) WHERE state = 'waiting';
CREATE INDEX outbox_lane ON outbox (lane, rank, source, run_at) WHERE state = 'waiting';
CREATE INDEX outbox_state ON outbox (state, kind);
CREATE INDEX outbox_request ON outbox (request);

-- Drafts by a language model, with what each was begun with and came to. A request's end is its drafts' end.
CREATE TABLE drafts (
    seq        INTEGER PRIMARY KEY,
    request    INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    automation TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('running', 'answered', 'declined', 'refused', 'failed', 'cancelled')),
    base       TEXT    NOT NULL,
    -- What placeholders for secrets are derived with, in hex.
    salt       TEXT    NOT NULL,
    begun_at   INTEGER NOT NULL,
    ended_at   INTEGER,
    -- Both as JSON.
    brief      TEXT    NOT NULL,
    outcome    TEXT
) STRICT;
CREATE UNIQUE INDEX drafts_number ON drafts (request, number);
CREATE TRIGGER requests_end_drafts AFTER UPDATE OF state ON requests WHEN OLD.live = 1 AND NEW.live = 0 BEGIN
    UPDATE drafts SET state = iif(NEW.state = 'failed', 'failed', 'cancelled'), ended_at = NEW.updated_at
        WHERE request = NEW.seq AND state = 'running';
END;

-- The calls of a model, each attempt. What was reckoned before counts until it is known what it did cost.
CREATE TABLE draft_turns (
    seq             INTEGER PRIMARY KEY,
    request         INTEGER NOT NULL REFERENCES requests (seq) ON DELETE CASCADE,
    draft           INTEGER NOT NULL,
    turn            INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    automation      TEXT    NOT NULL,
    begun_at        INTEGER NOT NULL,
    ended_at        INTEGER,
    reserved_tokens INTEGER NOT NULL,
    -- Millionths of the currency that prices are in.
    reserved_micros INTEGER NOT NULL,
    spent_tokens    INTEGER,
    spent_micros    INTEGER,
    tokens          INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(spent_tokens, reserved_tokens)) VIRTUAL,
    micros          INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(spent_micros, reserved_micros)) VIRTUAL,
    -- Both as JSON.
    reply           TEXT,
    response        TEXT
) STRICT;
CREATE UNIQUE INDEX draft_turns_attempt ON draft_turns (request, draft, turn, attempt);
-- What a day's budget is held against, answered out of the index.
CREATE INDEX draft_turns_automation ON draft_turns (automation, begun_at, tokens, micros);
CREATE INDEX draft_turns_begun ON draft_turns (begun_at, tokens, micros);

-- Calls of a model by the copilot, which no request has; columns as of `draft_turns`.
CREATE TABLE copilot_calls (
    seq             INTEGER PRIMARY KEY,
    begun_at        INTEGER NOT NULL,
    reserved_tokens INTEGER NOT NULL,
    reserved_micros INTEGER NOT NULL,
    spent_tokens    INTEGER,
    spent_micros    INTEGER,
    tokens          INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(spent_tokens, reserved_tokens)) VIRTUAL,
    micros          INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(spent_micros, reserved_micros)) VIRTUAL
) STRICT;
CREATE INDEX copilot_calls_begun ON copilot_calls (begun_at, tokens, micros);

-- What the copilot suggests, until somebody files it.
CREATE TABLE suggestions (
    seq     INTEGER PRIMARY KEY,
    id      TEXT    NOT NULL,
    made_by TEXT    NOT NULL,
    made_at INTEGER NOT NULL,
    content TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX suggestions_id ON suggestions (id);
CREATE INDEX suggestions_made ON suggestions (made_at);

-- Pull requests of the local forge; `record` is the whole of it as JSON.
CREATE TABLE pulls (
    seq        INTEGER PRIMARY KEY,
    repository TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    head       TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    record     TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX pulls_number ON pulls (repository, number);
CREATE UNIQUE INDEX pulls_open ON pulls (repository, head) WHERE state = 'open';
CREATE INDEX pulls_state ON pulls (state);

CREATE TABLE tokens (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE UNIQUE INDEX tokens_id ON tokens (id);
CREATE UNIQUE INDEX tokens_hash ON tokens (hash);

-- In which claim a source was served last in a lane.
CREATE TABLE turns (
    lane   TEXT NOT NULL,
    source TEXT NOT NULL,
    turn   INTEGER NOT NULL,
    PRIMARY KEY (lane, source)
) STRICT;
CREATE INDEX turns_turn ON turns (turn);

-- In which process a repository was worked on last, for its mirror there is fresh; and when it was seen in each of its lanes.
CREATE TABLE affinity (
    repository TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    git_at     INTEGER NOT NULL,
    pulls_at   INTEGER NOT NULL
) STRICT;

-- What is done from time to time by one process of all: which, and until when unless it says so again.
CREATE TABLE duties (
    name       TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    held_until INTEGER NOT NULL
) STRICT;

-- Processes that read what waits, from their first batch to their end; who stands here and is gone died, perhaps of what it read. And which
-- delivery each is reading alone at this moment.
CREATE TABLE readers (
    owner    TEXT PRIMARY KEY,
    delivery TEXT
) STRICT;

-- After such a death: how many deliveries are still read one at a time.
CREATE TABLE readings_alone (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    still INTEGER NOT NULL
) STRICT;

-- Of how many processes a delivery was the one that they read alone when they died.
CREATE TABLE reading_deaths (
    delivery TEXT PRIMARY KEY,
    deaths   INTEGER NOT NULL
) STRICT;

-- By how many milliseconds the clock was ever set back, in all, as far as what waits has followed; and the newest line of a timeline at that time. Of
-- several processes that see it one writes this, together with what follows.
CREATE TABLE set_back (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    back     INTEGER NOT NULL,
    timeline INTEGER NOT NULL
) STRICT;

-- Of each version of the schema, the oldest one whose programs may work beside it, as they do while a new version of kubeops is rolled out.
-- A migration that says nothing here is beyond all that are older.
CREATE TABLE reaches (
    version INTEGER PRIMARY KEY,
    oldest  INTEGER NOT NULL
) STRICT;
INSERT INTO reaches (version, oldest) VALUES (1, 1);

-- One row that readiness writes, to know whether a write succeeds.
CREATE TABLE probe (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    writes INTEGER NOT NULL
) STRICT;
INSERT INTO probe (id, writes) VALUES (1, 0);
