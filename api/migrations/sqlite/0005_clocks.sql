-- When an on-demand topic was first found to be unread; null when it was read since. It is deleted at a later look only,
-- because the clock may have been wrong.
ALTER TABLE topics ADD COLUMN unread_at TEXT;

-- When the row was last written. Its other times are moved if that is ahead, because the clock was set back.
ALTER TABLE quotas ADD COLUMN saved_at TEXT;
