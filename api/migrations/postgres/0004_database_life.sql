-- The same table as SQLite's, where the comments are.
CREATE TABLE IF NOT EXISTS database_life (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL
);

INSERT INTO database_life (id, epoch) VALUES (1, (random() * 4e18)::bigint) ON CONFLICT (id) DO NOTHING;
