-- Dongles of erased persons that still have to empty themselves, and what became of each.
-- depends: 0011.personal 0013.warden

-- No datum of a person: the device's id leads to nobody once the registry has forgotten it.
CREATE TABLE device_wipe (
    id uuid PRIMARY KEY,                            -- what the dongle remembers it by
    device_id text NOT NULL,
    generation integer NOT NULL CHECK (generation >= 0),   -- of the certificates by which it may come for it
    asked_at timestamptz NOT NULL,
    deadline timestamptz NOT NULL CHECK (deadline > asked_at),
    sent_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    refusal text CHECK (refusal IN ('other-generation', 'expired', 'before-this-service')),   -- the last; it is asked on
    outcome text CHECK (outcome IN ('wiped', 'expired', 'by-hand', 'shut-out')),
    ended_at timestamptz CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    batches integer,                                -- that waited in its outbox and are gone
    files integer
);
CREATE UNIQUE INDEX device_wipe_open ON device_wipe (device_id) WHERE outcome IS NULL;

-- While a wipe is open its dongle may connect for it and for nothing else.
CREATE OR REPLACE VIEW device_access AS
SELECT
    device.id AS device_id,
    enabled AND credentials_revoked_at IS NULL AND wipe.id IS NULL
        AND NOT EXISTS (SELECT FROM device_block WHERE device_id = device.id AND until > now()) AS allowed,
    credential_generation AS generation,
    access_changed_at AS changed_at,
    wipe.id IS NOT NULL AS only_wiped
FROM device
LEFT JOIN device_wipe AS wipe ON wipe.device_id = device.id AND wipe.outcome IS NULL AND wipe.deadline > now()
UNION ALL
SELECT wipe.device_id, false, wipe.generation, wipe.asked_at, true
FROM device_wipe AS wipe
WHERE wipe.outcome IS NULL AND wipe.deadline > now() AND NOT EXISTS (SELECT FROM device WHERE id = wipe.device_id);

CREATE TRIGGER device_wipe_told
    AFTER INSERT OR DELETE OR UPDATE OF outcome ON device_wipe
    FOR EACH STATEMENT EXECUTE FUNCTION tell_access();

-- What the dongle comes in with ends with its wipe, and not before.
CREATE OR REPLACE FUNCTION device_certificates_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE device_certificate SET revoked_at = now(), revoked_reason = 'the device was removed'
    WHERE device_id = OLD.id AND revoked_at IS NULL
        AND NOT EXISTS (SELECT FROM device_wipe AS wipe WHERE wipe.device_id = OLD.id AND wipe.outcome IS NULL
            AND wipe.generation = device_certificate.generation);
    RETURN NULL;
END
$$;

CREATE FUNCTION device_wipe_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE device_certificate SET revoked_at = NEW.ended_at, revoked_reason = 'the owner was erased'
    WHERE device_id = NEW.device_id AND generation <= NEW.generation AND revoked_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER device_wipe_ends
    AFTER INSERT OR UPDATE OF outcome ON device_wipe
    FOR EACH ROW WHEN (NEW.outcome IS NOT NULL) EXECUTE FUNCTION device_wipe_ends();
