-- Revisions grow only within one life of the database. A new database begins a life, and the person who restores one
-- begins another (docs/operations.md), so that caches do not take restored lists for older ones.
CREATE TABLE IF NOT EXISTS database_life (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
);

INSERT INTO database_life (id, epoch) VALUES (1, abs(random() / 4)) ON CONFLICT (id) DO NOTHING;
