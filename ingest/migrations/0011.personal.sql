-- Personal data sealed with a key per person; who saw it; who was erased.
-- depends: 0007.trace

CREATE TABLE personal_key (
    owner_id uuid PRIMARY KEY REFERENCES owner ON DELETE CASCADE,
    wrapped bytea NOT NULL,                         -- the person's data key in an envelope of a master key
    master_key_id bytea NOT NULL GENERATED ALWAYS AS (substring(wrapped FROM 2 FOR 8)) STORED,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX personal_key_master ON personal_key (master_key_id);

-- What older rows hold in plain waits here for the keys, which no SQL has: `wearcast db migrate` seals it and empties
-- this table by TRUNCATE, which leaves no dead row behind.
CREATE TABLE personal_unsealed (
    owner_id uuid NOT NULL,
    vehicle_id uuid,                                -- NULL: fields of the owner
    fields jsonb NOT NULL
) WITH (autovacuum_enabled = off, vacuum_truncate = off);  -- its pages say that the tables have still to be written anew
INSERT INTO personal_unsealed (owner_id, fields)
SELECT id, jsonb_build_object(
    'name', name, 'notify_urls', to_jsonb(notify_urls), 'email', email,
    'position', CASE WHEN latitude IS NOT NULL AND longitude IS NOT NULL
                THEN jsonb_build_array(latitude, longitude) END)
FROM owner;
INSERT INTO personal_unsealed (owner_id, vehicle_id, fields)
SELECT owner_id, id, jsonb_build_object('vin', vin) FROM vehicle WHERE vin IS NOT NULL;

-- Envelopes of ingest.personal.envelope around JSON.
ALTER TABLE owner
    DROP COLUMN name, DROP COLUMN notify_urls, DROP COLUMN email, DROP COLUMN latitude, DROP COLUMN longitude;
ALTER TABLE owner
    ADD COLUMN name bytea,
    ADD COLUMN notify_urls bytea,                   -- Apprise addresses: phone numbers, chat ids, tokens
    ADD COLUMN email bytea,
    ADD COLUMN position bytea;                      -- [latitude, longitude], degrees WGS 84, where the car usually is
ALTER TABLE vehicle DROP COLUMN vin;
ALTER TABLE vehicle
    ADD COLUMN vin bytea,
    ADD COLUMN vin_index bytea UNIQUE;              -- keyed hash: one VIN is registered once

-- What the dongle read: as the intake keeps it from here on (ingest.personal.mask.mask_vin).
UPDATE vehicle_event
SET data = jsonb_set(data, '{vin}', to_jsonb(
    CASE WHEN length(data ->> 'vin') > 6 THEN '…' || right(data ->> 'vin', 6) ELSE '…' END))
WHERE kind = 'vehicle.identified' AND data ->> 'vin' IS NOT NULL;

-- Who saw what of whom. No reference to the owner: the record outlives them, and then names nobody.
CREATE TABLE personal_access (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    owner_id uuid NOT NULL,
    role text NOT NULL,                             -- owner, workshop, engineer, operator, delivery
    actor text NOT NULL,                            -- who in that role: an id or the operator's account
    fields text[] NOT NULL,
    purpose text NOT NULL
);
CREATE INDEX personal_access_owner ON personal_access (owner_id, at DESC);

CREATE FUNCTION personal_access_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Three years: PIPL Art. 56 asks for as much of the records of handling.
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '3 years' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the access log is only written to; entries leave it three years old, by deletion';
END $$;
CREATE TRIGGER personal_access_stays BEFORE UPDATE OR DELETE ON personal_access
    FOR EACH ROW EXECUTE FUNCTION personal_access_stays();
CREATE TRIGGER personal_access_stays_whole BEFORE TRUNCATE ON personal_access
    FOR EACH STATEMENT EXECUTE FUNCTION personal_access_stays();

-- Who was erased, by a number that leads to nobody any more.
CREATE TABLE personal_erasure (
    owner_id uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    reason text NOT NULL
);

-- Dongles of erased persons. What they still send is refused as an unknown device's and its content not kept.
CREATE TABLE erased_device (
    device_id text PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

CREATE FUNCTION rejected_message_forgets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_device WHERE device_id = split_part(NEW.topic, '/', 3)) THEN
        NEW.payload := '';
        NEW.detail := 'a device whose owner was erased; its content is not kept';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rejected_message_forgets BEFORE INSERT ON rejected_message
    FOR EACH ROW EXECUTE FUNCTION rejected_message_forgets();
