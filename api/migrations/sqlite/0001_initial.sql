-- Times are text as sqlx writes them (RFC 3339, UTC, `+00:00`), so that they sort as text.

CREATE TABLE topics (
    name TEXT PRIMARY KEY,
    -- configured: named by TOPICS; requested: by POST /update_cache; on_demand: by a reader.
    origin TEXT NOT NULL CHECK (origin IN ('configured', 'requested', 'on_demand')),
    tracked_at TEXT NOT NULL,
    last_read_at TEXT NOT NULL,
    -- Counts every change that its lists could show.
    revision INTEGER NOT NULL,
    -- The last revision that lists were built of, and the Last-Modified that it got.
    listed_revision INTEGER NOT NULL DEFAULT 0,
    modified_at TEXT,
    -- The last complete refresh, and whether the last refresh was one.
    refreshed_at TEXT,
    complete INTEGER NOT NULL DEFAULT FALSE,
    total_count INTEGER,
    -- How many repositories the last complete refresh found, and a much smaller result that waits to be confirmed.
    found INTEGER,
    shrunk_to INTEGER,
    shrunk_at TEXT,
    -- Of a topic that is kept whole: the last run that saw every repository, and up to which updated_at every change was
    -- seen. Null when the next run must see them all.
    covered_at TEXT,
    changes_until TEXT
);

-- The columns of GitHub's search item that people ask for. GitHub's id is the key: names are used again.
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    node_id TEXT,
    name TEXT NOT NULL,
    full_name TEXT NOT NULL,
    owner TEXT,
    html_url TEXT NOT NULL,
    description TEXT,
    homepage TEXT,
    language TEXT,
    license TEXT,
    topics TEXT NOT NULL,
    default_branch TEXT,
    fork INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    is_template INTEGER NOT NULL,
    size INTEGER NOT NULL,
    stargazers_count INTEGER NOT NULL,
    forks_count INTEGER NOT NULL,
    open_issues_count INTEGER NOT NULL,
    created_at TEXT,
    updated_at TEXT NOT NULL,
    pushed_at TEXT,
    stored_at TEXT NOT NULL,
    -- Counts the times that the row was written.
    version INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE topic_repositories (
    topic TEXT NOT NULL REFERENCES topics (name) ON DELETE CASCADE,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    -- The place in GitHub's best match, from 0; null where best match does not show it.
    rank INTEGER,
    -- The refresh that first saw it here, the one that last did, and when.
    added_in INTEGER NOT NULL,
    confirmed_in INTEGER NOT NULL,
    confirmed_at TEXT NOT NULL,
    PRIMARY KEY (topic, repository_id)
) WITHOUT ROWID;

CREATE INDEX topic_repositories_rank ON topic_repositories (topic, rank) WHERE rank IS NOT NULL;
CREATE INDEX topic_repositories_repository ON topic_repositories (repository_id);

-- What a run over every repository of a topic has read, by date of creation, so that the next one need not ask again.
CREATE TABLE slices (
    topic TEXT NOT NULL REFERENCES topics (name) ON DELETE CASCADE,
    created_from TEXT NOT NULL,
    created_to TEXT NOT NULL,
    refresh_id INTEGER NOT NULL,
    read_at TEXT NOT NULL,
    PRIMARY KEY (topic, created_from, created_to)
) WITHOUT ROWID;

-- Each UTC day's last star count. A day not taken cannot be recovered.
CREATE TABLE star_snapshots (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    day TEXT NOT NULL,
    stargazers_count INTEGER NOT NULL,
    PRIMARY KEY (repository_id, day)
) WITHOUT ROWID;

-- The ledger. A run over several topics is one entry (topic is null) with one child a topic.
CREATE TABLE refreshes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    parent_id INTEGER REFERENCES refreshes (id) ON DELETE CASCADE,
    topic TEXT,
    cause TEXT NOT NULL,
    outcome TEXT CHECK (outcome IN ('complete', 'partial', 'failed')),
    started_at TEXT NOT NULL,
    finished_at TEXT,
    -- What the run has done so far; see Report.
    report TEXT
);

CREATE INDEX refreshes_parent ON refreshes (parent_id);
CREATE INDEX refreshes_topic ON refreshes (topic, id);

-- One row for each topic ever refreshed, and one (`*`) for runs over all of them. The fence grows with each holder.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT,
    fence INTEGER NOT NULL,
    expires_at TEXT NOT NULL,
    refresh_id INTEGER NOT NULL
);

-- What GitHub last said of its limits, when the next turn is, and until when a request may be under way.
CREATE TABLE quotas (
    bucket TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    limit_ INTEGER,
    remaining INTEGER,
    reset_at TEXT,
    next_at TEXT,
    busy_until TEXT,
    paused_until TEXT,
    strikes INTEGER NOT NULL
);
