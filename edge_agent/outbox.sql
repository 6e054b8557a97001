-- The dongle's memory across power cuts. Times are milliseconds since 1970-01-01 UTC.

-- Starts of the agent; sequence numbers count within one.
CREATE TABLE boot (
    boot TEXT PRIMARY KEY,
    next_sequence INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;

-- Samples accepted and not yet sealed into a batch.
CREATE TABLE pending_sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    monotonic_ms INTEGER NOT NULL,
    recorded INTEGER NOT NULL,          -- 1: the time is that of a recording and is never put right
    readings BLOB NOT NULL              -- JSON {VSS path: value}
);

-- Sealed batches, encoded; a row goes only when the backend says that it is committed or rejected.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('readings', 'events')),
    created_ms INTEGER NOT NULL,
    items INTEGER NOT NULL,             -- samples or events in it
    attempts INTEGER NOT NULL DEFAULT 0, -- times published
    payload BLOB NOT NULL,
    UNIQUE (boot, sequence)
);

-- Batches the backend will never take, kept to be looked at; the oldest go first.
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    channel TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    payload BLOB NOT NULL
);

-- What the agent knows: estimator states, trouble codes, trip. Written in the transaction of what it led to.
CREATE TABLE state (
    name TEXT PRIMARY KEY,
    content BLOB NOT NULL               -- JSON
) WITHOUT ROWID;

-- What was done and what had to be given up, counted since the file was made: see edge_agent/ledger.py.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;
