-- Times are milliseconds since 1970. Lists and maps are JSON.
CREATE TABLE IF NOT EXISTS sandboxes (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    template TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    idle INTEGER,
    paused INTEGER NOT NULL,
    labels TEXT NOT NULL,
    metadata TEXT NOT NULL,
    environment TEXT NOT NULL,
    creation_key TEXT,
    creation_request TEXT NOT NULL,
    UNIQUE (owner, creation_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS processes (
    sandbox TEXT NOT NULL,
    number INTEGER NOT NULL,
    command TEXT NOT NULL,
    started INTEGER NOT NULL,
    terminal INTEGER NOT NULL,
    deadline INTEGER,
    PRIMARY KEY (sandbox, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS executions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    sandbox TEXT NOT NULL,
    owner TEXT NOT NULL,
    request TEXT NOT NULL,
    started INTEGER NOT NULL,
    command TEXT NOT NULL,
    exit_code INTEGER NOT NULL,
    timed_out INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    stdout TEXT NOT NULL,
    stderr TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS executions_by_sandbox ON executions (owner, sandbox, number);

CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    created INTEGER NOT NULL,
    revoked INTEGER
) STRICT, WITHOUT ROWID;

-- Networks other than the template's.
CREATE TABLE IF NOT EXISTS networks (
    sandbox TEXT PRIMARY KEY,
    network TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Whom to tell of the end of a process; body once it has ended.
CREATE TABLE IF NOT EXISTS webhooks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    process INTEGER NOT NULL,
    url TEXT NOT NULL,
    secret TEXT,
    body TEXT,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS webhooks_by_due ON webhooks (due) WHERE body IS NOT NULL;
CREATE TABLE IF NOT EXISTS snapshots (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT,
    sandbox TEXT NOT NULL,
    template TEXT NOT NULL,
    created INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    labels TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Sandboxes whose files are being written.
CREATE TABLE IF NOT EXISTS unfinished (
    sandbox TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Sandboxes that are paused when their time is over.
CREATE TABLE IF NOT EXISTS expiries (
    sandbox TEXT PRIMARY KEY,
    life INTEGER NOT NULL,
    kept INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS volumes (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (owner, name)
) STRICT, WITHOUT ROWID;

-- Volumes of sandboxes.
CREATE TABLE IF NOT EXISTS mounts (
    sandbox TEXT NOT NULL,
    path TEXT NOT NULL,
    volume TEXT NOT NULL,
    name TEXT NOT NULL,
    writes INTEGER NOT NULL,
    PRIMARY KEY (sandbox, path)
) STRICT, WITHOUT ROWID;
