-- The same table as SQLite's, where the comments are.
CREATE TABLE backfills (
    repository_id BIGINT PRIMARY KEY,
    asked_on DATE NOT NULL
);
