-- What each device may still send, by all workers that share a consumer: only of those that send much.
-- depends: 0013.warden

-- A server that was killed begins with an empty table: every device then has its whole allowance once more.
CREATE UNLOGGED TABLE device_allowance (
    device_id text PRIMARY KEY REFERENCES device ON DELETE CASCADE,
    messages double precision NOT NULL,     -- below zero: several workers took the last of it
    bytes double precision NOT NULL,
    over double precision NOT NULL,         -- messages beyond those two, before it is an offence
    malformed double precision NOT NULL,    -- messages
    at timestamptz NOT NULL                 -- up to when it has filled again
);
