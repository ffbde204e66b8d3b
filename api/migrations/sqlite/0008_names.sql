-- Repositories by their names, which GitHub compares without case.
CREATE INDEX repositories_name ON repositories (lower(full_name));
