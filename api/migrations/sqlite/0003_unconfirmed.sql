-- When a run last asked for the repository by its id and got no answer; null once a run has seen it.
ALTER TABLE topic_repositories ADD COLUMN asked_at TEXT;
