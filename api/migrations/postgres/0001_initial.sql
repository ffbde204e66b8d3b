-- The same tables as SQLite's, where the comments are.

CREATE TABLE topics (
    name TEXT PRIMARY KEY,
    origin TEXT NOT NULL CHECK (origin IN ('configured', 'requested', 'on_demand')),
    tracked_at TIMESTAMPTZ NOT NULL,
    last_read_at TIMESTAMPTZ NOT NULL,
    revision BIGINT NOT NULL,
    listed_revision BIGINT NOT NULL DEFAULT 0,
    modified_at TIMESTAMPTZ,
    refreshed_at TIMESTAMPTZ,
    complete BOOLEAN NOT NULL DEFAULT FALSE,
    total_count BIGINT,
    found BIGINT,
    shrunk_to BIGINT,
    shrunk_at TIMESTAMPTZ,
    covered_at TIMESTAMPTZ,
    changes_until TIMESTAMPTZ
);

CREATE TABLE repositories (
    id BIGINT PRIMARY KEY,
    node_id TEXT,
    name TEXT NOT NULL,
    full_name TEXT NOT NULL,
    owner TEXT,
    html_url TEXT NOT NULL,
    description TEXT,
    homepage TEXT,
    language TEXT,
    license TEXT,
    topics JSONB NOT NULL,
    default_branch TEXT,
    fork BOOLEAN NOT NULL,
    archived BOOLEAN NOT NULL,
    disabled BOOLEAN NOT NULL,
    is_template BOOLEAN NOT NULL,
    size BIGINT NOT NULL,
    stargazers_count BIGINT NOT NULL,
    forks_count BIGINT NOT NULL,
    open_issues_count BIGINT NOT NULL,
    created_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL,
    pushed_at TIMESTAMPTZ,
    stored_at TIMESTAMPTZ NOT NULL,
    version BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE topic_repositories (
    topic TEXT NOT NULL REFERENCES topics (name) ON DELETE CASCADE,
    repository_id BIGINT NOT NULL REFERENCES repositories (id),
    rank BIGINT,
    added_in BIGINT NOT NULL,
    confirmed_in BIGINT NOT NULL,
    confirmed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (topic, repository_id)
);

CREATE INDEX topic_repositories_rank ON topic_repositories (topic, rank) WHERE rank IS NOT NULL;
CREATE INDEX topic_repositories_repository ON topic_repositories (repository_id);

CREATE TABLE slices (
    topic TEXT NOT NULL REFERENCES topics (name) ON DELETE CASCADE,
    created_from TIMESTAMPTZ NOT NULL,
    created_to TIMESTAMPTZ NOT NULL,
    refresh_id BIGINT NOT NULL,
    read_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (topic, created_from, created_to)
);

CREATE TABLE star_snapshots (
    repository_id BIGINT NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    day DATE NOT NULL,
    stargazers_count BIGINT NOT NULL,
    PRIMARY KEY (repository_id, day)
);

CREATE TABLE refreshes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_id BIGINT REFERENCES refreshes (id) ON DELETE CASCADE,
    topic TEXT,
    cause TEXT NOT NULL,
    outcome TEXT CHECK (outcome IN ('complete', 'partial', 'failed')),
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    report JSONB
);

CREATE INDEX refreshes_parent ON refreshes (parent_id);
CREATE INDEX refreshes_topic ON refreshes (topic, id);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT,
    fence BIGINT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    refresh_id BIGINT NOT NULL
);

CREATE TABLE quotas (
    bucket TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    limit_ BIGINT,
    remaining BIGINT,
    reset_at TIMESTAMPTZ,
    next_at TIMESTAMPTZ,
    busy_until TIMESTAMPTZ,
    paused_until TIMESTAMPTZ,
    strikes BIGINT NOT NULL
);
