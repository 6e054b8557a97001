-- Who may connect: one-time tokens, certificates given out, and those revoked.
-- depends: 0007.trace

ALTER TABLE device
    -- A certificate of an older generation opens nothing: it carries OU=g<generation>, from generation 1 on.
    ADD COLUMN credential_generation integer NOT NULL DEFAULT 0 CHECK (credential_generation >= 0),
    ADD COLUMN credentials_revoked_at timestamptz,  -- since then nothing of it is let in, until it is enrolled anew
    ADD COLUMN access_changed_at timestamptz NOT NULL DEFAULT now();

-- No reference to the device: a serial stands in the revocation list until it ends, also when the device is erased.
CREATE TABLE device_certificate (
    serial text PRIMARY KEY CHECK (serial ~ '^[0-9a-f]+$'),     -- hexadecimal, without leading zeros
    device_id text NOT NULL,
    generation integer NOT NULL,
    fingerprint text NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{64}$'),   -- SHA-256 of the certificate
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    issued_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
);
CREATE INDEX device_certificate_device ON device_certificate (device_id, issued_at DESC);
CREATE INDEX device_certificate_revoked ON device_certificate (not_after) WHERE revoked_at IS NOT NULL;

CREATE TABLE enrolment_token (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    device_id text NOT NULL REFERENCES device ON DELETE CASCADE,
    token_digest bytea NOT NULL UNIQUE,             -- SHA-256 of the token, which is shown once and kept nowhere
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    attempts_left integer NOT NULL CHECK (attempts_left >= 0),
    withdrawn_at timestamptz,                       -- a later token took its place, or the device was revoked
    used_at timestamptz,
    -- SHA-256 of the public key it was spent on: an answer that was lost may be asked for again with that key alone.
    used_for_key bytea CHECK ((used_at IS NULL) = (used_for_key IS NULL)),
    used_generation integer
);
CREATE INDEX enrolment_token_device ON enrolment_token (device_id, created_at DESC);

-- The newest list of each authority: whoever configures a broker takes it from here, and needs no authority's key.
CREATE TABLE certificate_revocation_list (
    authority text PRIMARY KEY,                     -- SHA-256 of the authority's certificate
    number bigint NOT NULL,                         -- rises with each list (RFC 5280, 5.2.3)
    pem text NOT NULL,
    issued_at timestamptz NOT NULL,
    next_update timestamptz NOT NULL
);

CREATE VIEW device_access AS
SELECT
    id AS device_id,
    enabled AND credentials_revoked_at IS NULL AS allowed,
    credential_generation AS generation,
    access_changed_at AS changed_at
FROM device;

CREATE FUNCTION device_access_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.access_changed_at := now();
    RETURN NEW;
END
$$;
CREATE TRIGGER device_access_changed
    BEFORE UPDATE OF enabled, credential_generation, credentials_revoked_at ON device
    FOR EACH ROW EXECUTE FUNCTION device_access_changed();

CREATE FUNCTION tell_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY wearcast_access;
    RETURN NULL;
END
$$;
CREATE TRIGGER device_access_told
    AFTER INSERT OR DELETE OR UPDATE OF enabled, credential_generation, credentials_revoked_at ON device
    FOR EACH STATEMENT EXECUTE FUNCTION tell_access();
CREATE TRIGGER certificate_revocation_told
    AFTER UPDATE OF revoked_at ON device_certificate
    FOR EACH STATEMENT EXECUTE FUNCTION tell_access();
CREATE TRIGGER certificate_revocation_list_told
    AFTER INSERT OR UPDATE ON certificate_revocation_list
    FOR EACH STATEMENT EXECUTE FUNCTION tell_access();

-- An id that is given again begins above whatever was given under it before: a broker that goes by generations would
-- take the former device for the one of now.
CREATE FUNCTION device_generation_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.credential_generation := greatest(NEW.credential_generation, (
        SELECT max(generation) + 1 FROM device_certificate WHERE device_id = NEW.id AND revoked_at IS NOT NULL));
    RETURN NEW;
END
$$;
CREATE TRIGGER device_generation_begins
    BEFORE INSERT ON device
    FOR EACH ROW EXECUTE FUNCTION device_generation_begins();

CREATE FUNCTION device_certificates_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE device_certificate SET revoked_at = now(), revoked_reason = 'the device was removed'
    WHERE device_id = OLD.id AND revoked_at IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER device_certificates_end
    AFTER DELETE ON device
    FOR EACH ROW EXECUTE FUNCTION device_certificates_end();
