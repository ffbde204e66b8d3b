-- The same columns as SQLite's, where the comments are.
ALTER TABLE topics ADD COLUMN unread_at TIMESTAMPTZ;

ALTER TABLE quotas ADD COLUMN saved_at TIMESTAMPTZ;
