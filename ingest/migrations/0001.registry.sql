-- Who there is: owners, vehicles, devices, workshops.
-- depends:

CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE owner (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    language text NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'zh')),
    time_zone text NOT NULL DEFAULT 'UTC',          -- IANA name
    notify_urls text[] NOT NULL DEFAULT '{}',       -- Apprise addresses
    email text,
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),     -- degrees WGS 84, where the car usually is
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE vehicle (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner_id uuid NOT NULL REFERENCES owner,
    label text NOT NULL,                            -- what the owner calls it
    vin text UNIQUE CHECK (vin ~ '^[A-HJ-NPR-Z0-9]{17}$'),
    profile text NOT NULL,                          -- vehicle profile of firmware_profiles
    in_service_since date,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX vehicle_owner ON vehicle (owner_id);

CREATE TABLE device (
    id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'),   -- the certificate's CN
    vehicle_id uuid NOT NULL REFERENCES vehicle,
    hardware text NOT NULL,                         -- hardware profile of firmware_profiles
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX device_vehicle ON device (vehicle_id);

CREATE TABLE workshop (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    time_zone text NOT NULL,                        -- IANA name; opening hours are in it
    latitude double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    rating numeric(2, 1) NOT NULL CHECK (rating BETWEEN 1 AND 5),
    email text NOT NULL,
    webhook_url text,
    webhook_secret text,                            -- Standard Webhooks "whsec_…"
    created_at timestamptz NOT NULL DEFAULT now()
);
