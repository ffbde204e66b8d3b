-- The UTC day on which GitHub was last asked for a repository's star history. If it offered none, it is not asked again on
-- that day; if it offered one, the days are in backfilled.
CREATE TABLE backfills (
    repository_id INTEGER PRIMARY KEY,
    asked_on TEXT NOT NULL
);
