-- The same column as SQLite's, where the comment is.
ALTER TABLE topic_repositories ADD COLUMN asked_at TIMESTAMPTZ;
