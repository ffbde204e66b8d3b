-- The same table as SQLite's, where the comment is.
CREATE TABLE purges (
    topic TEXT PRIMARY KEY,
    revision BIGINT NOT NULL
);
