-- The published revision of each topic's lists after which the CDN last dropped its answers. A topic
-- that was deleted since then has its row here alone.
CREATE TABLE purges (
    topic TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
);
