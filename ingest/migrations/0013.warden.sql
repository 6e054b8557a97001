-- Devices that are kept out for a time, and a bound on what each may leave among the rejected messages.
-- depends: 0007.trace 0010.enrolment

-- A block ends by itself. The row stays: who offends again soon is kept out for longer.
CREATE TABLE device_block (
    device_id text PRIMARY KEY REFERENCES device ON DELETE CASCADE,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    reason text NOT NULL CHECK (reason IN ('flood', 'malformed', 'client-id', 'by-hand')),
    times integer NOT NULL DEFAULT 1 CHECK (times > 0)      -- in a row
);
CREATE TRIGGER device_block_told
    AFTER INSERT OR UPDATE OR DELETE ON device_block
    FOR EACH STATEMENT EXECUTE FUNCTION tell_access();

CREATE OR REPLACE VIEW device_access AS
SELECT
    id AS device_id,
    enabled AND credentials_revoked_at IS NULL
        AND NOT EXISTS (SELECT FROM device_block WHERE device_id = device.id AND until > now()) AS allowed,
    credential_generation AS generation,
    access_changed_at AS changed_at
FROM device;

-- On whose branch it came; '' where on nobody's. Brokers let a device publish on its own alone.
ALTER TABLE rejected_message
    ADD COLUMN sender text GENERATED ALWAYS AS (coalesce(substring(topic FROM '^wearcast/v1/([^/]+)/'), '')) STORED;
CREATE INDEX rejected_message_sender ON rejected_message (sender, id DESC);
