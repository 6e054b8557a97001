-- Who may ask devices something from afar, and everything that was asked.
-- depends: 0002.telemetry

CREATE TABLE operator_grant (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    operator text NOT NULL CHECK (length(operator) BETWEEN 1 AND 100),   -- who holds it
    token_digest bytea NOT NULL UNIQUE,             -- SHA-256 of the token, which is shown once and kept nowhere
    kinds text[] NOT NULL CHECK (cardinality(kinds) > 0),
    device_id text REFERENCES device,               -- NULL: every device
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The row is committed before the command is sent: whatever dies afterwards, what was asked is known.
CREATE TABLE device_command (
    id uuid PRIMARY KEY,
    device_id text NOT NULL,                        -- as asked: it may not exist
    kind text NOT NULL,
    seconds real NOT NULL DEFAULT 0,
    grant_id uuid REFERENCES operator_grant,        -- NULL: denied
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    state text NOT NULL
        CHECK (state IN ('issued', 'accepted', 'done', 'refused', 'failed', 'denied', 'timed_out')),
    reason text,
    parts integer NOT NULL DEFAULT 0,               -- messages of a live answer
    answer jsonb,                                   -- data of the last message
    finished_at timestamptz
);
CREATE INDEX device_command_issued ON device_command (issued_at DESC);
CREATE INDEX device_command_device ON device_command (device_id, issued_at DESC);
