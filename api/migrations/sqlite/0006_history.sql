-- Counts of each UTC day, the last ones seen that day. A row holds for every day from its first to its last one, each of
-- which was seen, so that counts that do not change cost one row. Null for days before forks and issues were counted.
CREATE TABLE counts (
    repository_id INTEGER NOT NULL,
    first_day TEXT NOT NULL,
    last_day TEXT NOT NULL,
    stargazers_count INTEGER NOT NULL,
    forks_count INTEGER,
    open_issues_count INTEGER,
    PRIMARY KEY (repository_id, first_day)
) WITHOUT ROWID;

-- GitHub's own history of stars, in the same form. It counts stars that are still held, so it is kept apart.
CREATE TABLE backfilled (
    repository_id INTEGER NOT NULL,
    first_day TEXT NOT NULL,
    last_day TEXT NOT NULL,
    stargazers_count INTEGER NOT NULL,
    forks_count INTEGER,
    open_issues_count INTEGER,
    PRIMARY KEY (repository_id, first_day)
) WITHOUT ROWID;

-- Each UTC day of a topic. The order of best match, as a JSON array of ids, is the day's last complete run's.
CREATE TABLE topic_days (
    topic TEXT NOT NULL,
    day TEXT NOT NULL,
    total_count INTEGER,
    stored INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    best_match TEXT,
    PRIMARY KEY (topic, day)
) WITHOUT ROWID;

-- Events of topics. The key is the content, so that an event has the same identity in every database.
CREATE TABLE events (
    topic TEXT NOT NULL,
    at TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('joined', 'left', 'renamed', 'archived', 'unarchived')),
    repository_id INTEGER NOT NULL,
    full_name TEXT NOT NULL,
    -- Of left: topic_removed, deleted or private.
    reason TEXT,
    -- Of renamed.
    old_name TEXT,
    new_name TEXT,
    PRIMARY KEY (topic, at, repository_id, kind)
) WITHOUT ROWID;

CREATE INDEX events_repository ON events (repository_id);
CREATE INDEX events_at ON events (at);

-- Former names of repositories, and until when each one held.
CREATE TABLE names (
    repository_id INTEGER NOT NULL,
    until TEXT NOT NULL,
    full_name TEXT NOT NULL,
    PRIMARY KEY (repository_id, until)
) WITHOUT ROWID;

CREATE INDEX names_name ON names (lower(full_name));

-- Topics that are no longer tracked, and since when.
CREATE TABLE forgotten_topics (
    topic TEXT PRIMARY KEY,
    forgotten_at TEXT NOT NULL
);

-- Since when no topic has the repository; null while one has it, or until somebody looked.
ALTER TABLE repositories ADD COLUMN unkept_since TEXT;
CREATE INDEX repositories_unkept ON repositories (unkept_since) WHERE unkept_since IS NOT NULL;

-- When the repository joined the topic, if that was seen: not when the topic was first read, nor when an older
-- repository got a place among the first ones. And the first day on which the topic had it here.
ALTER TABLE topic_repositories ADD COLUMN joined_at TEXT;
ALTER TABLE topic_repositories ADD COLUMN since TEXT;
UPDATE topic_repositories SET since = (SELECT substr(tracked_at, 1, 10) FROM topics WHERE name = topic);

-- Days on which a topic had repositories that it has no longer, first to last.
CREATE TABLE former_members (
    topic TEXT NOT NULL,
    repository_id INTEGER NOT NULL,
    first_day TEXT NOT NULL,
    last_day TEXT NOT NULL,
    PRIMARY KEY (topic, repository_id, first_day)
) WITHOUT ROWID;

CREATE INDEX former_members_repository ON former_members (repository_id);

-- When unkept history was last looked for.
ALTER TABLE database_life ADD COLUMN swept_at TEXT;

-- The coverage of the last complete run: top or complete; null before the first one.
ALTER TABLE topics ADD COLUMN filled TEXT;
UPDATE topics SET filled = CASE WHEN covered_at IS NOT NULL THEN 'complete' ELSE 'top' END
WHERE refreshed_at IS NOT NULL;
