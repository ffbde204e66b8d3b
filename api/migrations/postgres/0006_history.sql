-- The same tables as SQLite's, where the comments are. Each day a new last day is written into most rows of counts: the
-- room that is left in a page lets PostgreSQL do that without touching the index.
CREATE TABLE counts (
    repository_id BIGINT NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    stargazers_count BIGINT NOT NULL,
    forks_count BIGINT,
    open_issues_count BIGINT,
    PRIMARY KEY (repository_id, first_day)
) WITH (fillfactor = 80);

CREATE TABLE backfilled (
    repository_id BIGINT NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    stargazers_count BIGINT NOT NULL,
    forks_count BIGINT,
    open_issues_count BIGINT,
    PRIMARY KEY (repository_id, first_day)
);

CREATE TABLE topic_days (
    topic TEXT NOT NULL,
    day DATE NOT NULL,
    total_count BIGINT,
    stored BIGINT NOT NULL,
    complete BOOLEAN NOT NULL,
    best_match JSONB,
    PRIMARY KEY (topic, day)
);

CREATE TABLE events (
    topic TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('joined', 'left', 'renamed', 'archived', 'unarchived')),
    repository_id BIGINT NOT NULL,
    full_name TEXT NOT NULL,
    reason TEXT,
    old_name TEXT,
    new_name TEXT,
    PRIMARY KEY (topic, at, repository_id, kind)
);

CREATE INDEX events_repository ON events (repository_id);
CREATE INDEX events_at ON events (at);

CREATE TABLE names (
    repository_id BIGINT NOT NULL,
    until TIMESTAMPTZ NOT NULL,
    full_name TEXT NOT NULL,
    PRIMARY KEY (repository_id, until)
);

CREATE INDEX names_name ON names (lower(full_name));

CREATE TABLE forgotten_topics (
    topic TEXT PRIMARY KEY,
    forgotten_at TIMESTAMPTZ NOT NULL
);

ALTER TABLE repositories ADD COLUMN unkept_since TIMESTAMPTZ;
CREATE INDEX repositories_unkept ON repositories (unkept_since) WHERE unkept_since IS NOT NULL;

ALTER TABLE topic_repositories ADD COLUMN joined_at TIMESTAMPTZ;
ALTER TABLE topic_repositories ADD COLUMN since DATE;
UPDATE topic_repositories SET since = (SELECT (tracked_at AT TIME ZONE 'UTC')::date FROM topics WHERE name = topic);

CREATE TABLE former_members (
    topic TEXT NOT NULL,
    repository_id BIGINT NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    PRIMARY KEY (topic, repository_id, first_day)
);

CREATE INDEX former_members_repository ON former_members (repository_id);

ALTER TABLE database_life ADD COLUMN swept_at TIMESTAMPTZ;

ALTER TABLE topics ADD COLUMN filled TEXT;
UPDATE topics SET filled = CASE WHEN covered_at IS NOT NULL THEN 'complete' ELSE 'top' END
WHERE refreshed_at IS NOT NULL;
