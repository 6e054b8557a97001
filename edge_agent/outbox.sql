-- The dongle's memory across power cuts. Times are milliseconds since 1970-01-01 UTC. No AUTOINCREMENT: it writes a page
-- more with every row, and a row leaves together with what the uplink remembers of it.

-- Starts of the agent. A batch gets its number in the run that publishes it, whichever run recorded it.
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL UNIQUE,          -- the boot of the batch keys
    kernel TEXT NOT NULL,               -- the start of the machine, within which CLOCK_BOOTTIME counts; '' if not known
    next_sequence INTEGER NOT NULL DEFAULT 1,
    clock_ms INTEGER,                   -- wall time at CLOCK_BOOTTIME 0 by which batches since clock_from were stamped
    clock_from INTEGER NOT NULL DEFAULT 1  -- sequence
);

-- Samples accepted and not yet sealed into a batch.
CREATE TABLE pending_sample (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    monotonic_ms INTEGER NOT NULL,
    recorded INTEGER NOT NULL,          -- 1: the time is that of a recording and is never put right
    crc INTEGER NOT NULL,               -- of content, CRC-32: a flipped bit in a row is no structural damage
    content BLOB NOT NULL               -- MessagePack {signal code: value}
);

-- Sealed batches; a row goes only when the backend says that it is committed or rejected.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,               -- that sealed it
    channel TEXT NOT NULL CHECK (channel IN ('readings', 'events')),
    created_ms INTEGER NOT NULL,
    clock_ms INTEGER,                   -- wall time at CLOCK_BOOTTIME 0 by which it was stamped; NULL: never put right
    items INTEGER NOT NULL,             -- samples or events in it
    level INTEGER NOT NULL DEFAULT 0,   -- how often its samples were halved to make room
    boot TEXT,                          -- its key once it was published, and its payload as published from then on
    sequence INTEGER,
    waits INTEGER NOT NULL DEFAULT 0,   -- 1: refused for its time, waits for the clock to be put right
    crc INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE UNIQUE INDEX batch_key ON batch (boot, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX batch_event ON batch (id) WHERE channel = 'events';
CREATE INDEX batch_waits ON batch (id) WHERE waits = 1;

-- Batches the backend will never take, or the disk spoilt, kept to be looked at; the oldest go first.
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    boot TEXT,
    sequence INTEGER,
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

-- What was done and what had to be given up, counted since the file was made, and how many batches wait (batches_waiting):
-- counting rows would read the whole file. See edge_agent/ledger.py.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;
