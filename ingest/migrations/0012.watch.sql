-- What the running processes, the dongles and the watch over them say of themselves.
-- depends: 0007.trace

-- What a dongle of a former version does not tell is NULL.
ALTER TABLE device_status
    ADD COLUMN oldest_pending_seconds integer,      -- age of the oldest batch in its outbox; 0 = none waits
    ADD COLUMN samples_given_up bigint,             -- since the outbox was made
    ADD COLUMN batches_resent bigint,               -- since the agent's start
    ADD COLUMN certificate_ends timestamptz,
    ADD COLUMN planned boolean,                     -- an "offline" the device said itself, as its power plan has it
    ADD COLUMN heard_at timestamptz;                -- when we last stored a status that it said itself

-- Each running process writes its row every few seconds; what ended in order deletes it.
CREATE TABLE process_heartbeat (
    process text NOT NULL,                          -- ingest, rules, delivery, portal, …
    instance text NOT NULL,                         -- one of several: a worker's name, or host and process id
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL,
    period interval NOT NULL,                       -- to the next beat
    alive boolean NOT NULL,                         -- its loops turn
    problems jsonb NOT NULL,                        -- [text]: why it is not ready; empty = ready
    listens text,                                   -- where its metrics are, host:port
    figures jsonb NOT NULL,                         -- {metric: value} of its counters and gauges
    rates jsonb NOT NULL,                           -- {counter: increase per second since the beat before}
    PRIMARY KEY (process, instance)
);

-- Alerts on ourselves, from when a condition began until it ended. The operator is told of each once, and of its end.
CREATE TABLE operator_alert (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,                              -- which condition, and of what: "process-gone:ingest/ingest-1"
    text text NOT NULL,
    advice text NOT NULL,
    began_at timestamptz NOT NULL,
    told_at timestamptz,
    ended_at timestamptz,
    end_told_at timestamptz
);
CREATE UNIQUE INDEX operator_alert_open ON operator_alert (key) WHERE ended_at IS NULL;
