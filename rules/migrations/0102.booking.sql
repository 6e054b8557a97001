-- Workshops' bays and hours, offers, bookings, and what leaves the system.
-- depends: 0101.rules

CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE bay (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workshop_id uuid NOT NULL REFERENCES workshop,
    name text NOT NULL,
    skills text[] NOT NULL,                         -- e.g. {mechanical,high_voltage}
    UNIQUE (workshop_id, name),
    UNIQUE (id, workshop_id)                        -- so that offers and bookings cannot mix bay and workshop
);

CREATE TABLE opening_hours (
    workshop_id uuid NOT NULL REFERENCES workshop,
    weekday smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),   -- ISO: 1 = Monday
    opens time NOT NULL,                            -- local time of the workshop
    closes time NOT NULL CHECK (closes < time '24:00'),
    CHECK (opens < closes),
    PRIMARY KEY (workshop_id, weekday, opens)
);

CREATE TABLE workshop_closure (
    workshop_id uuid NOT NULL REFERENCES workshop,
    day date NOT NULL,                              -- local day of the workshop
    PRIMARY KEY (workshop_id, day)
);

CREATE TABLE workshop_job (
    workshop_id uuid NOT NULL REFERENCES workshop,
    job text NOT NULL,                              -- e.g. oil_change, brake_pads, battery_check
    skill text NOT NULL,                            -- a bay needs it
    duration interval NOT NULL CHECK (duration > interval '0' AND duration <= interval '24 hours'),
    price numeric(10, 2) NOT NULL CHECK (price >= 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),   -- ISO 4217
    PRIMARY KEY (workshop_id, job)
);

-- The offers compared for an alert; rank 1 is the one that was held. Each search writes a new set (created_at).
CREATE TABLE offer (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    alert_id uuid NOT NULL REFERENCES alert,
    rank smallint NOT NULL CHECK (rank >= 1),
    workshop_id uuid NOT NULL REFERENCES workshop,
    bay_id uuid NOT NULL,
    period tstzrange NOT NULL CHECK (NOT isempty(period) AND NOT lower_inf(period) AND NOT upper_inf(period)),
    price numeric(10, 2) NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    distance_km double precision NOT NULL,
    rating numeric(2, 1) NOT NULL,
    score double precision NOT NULL,                -- points, lower is better
    created_at timestamptz NOT NULL,
    FOREIGN KEY (bay_id, workshop_id) REFERENCES bay (id, workshop_id),
    UNIQUE (alert_id, created_at, rank)
);

-- proposed: the bay is held until held_until, the owner is asked.
CREATE TABLE booking (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    alert_id uuid NOT NULL REFERENCES alert,
    vehicle_id uuid NOT NULL REFERENCES vehicle,
    workshop_id uuid NOT NULL REFERENCES workshop,
    bay_id uuid NOT NULL,
    job text NOT NULL,
    period tstzrange NOT NULL CHECK (NOT isempty(period) AND NOT lower_inf(period) AND NOT upper_inf(period)),
    price numeric(10, 2) NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state text NOT NULL CHECK (state IN ('proposed', 'confirmed', 'declined', 'expired', 'cancelled', 'completed')),
    held_until timestamptz,
    calendar_sequence integer NOT NULL DEFAULT 0,   -- iCalendar SEQUENCE
    report text,                                    -- what the workshop did
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    FOREIGN KEY (bay_id, workshop_id) REFERENCES bay (id, workshop_id),
    CHECK (state <> 'proposed' OR held_until IS NOT NULL),
    CHECK ((state = 'completed') = (report IS NOT NULL)),
    -- Never two bookings in one bay at one time. '[)' in every row, so that one may begin when the other ends.
    CHECK (lower_inc(period) AND NOT upper_inc(period)),
    CONSTRAINT booking_bay_free EXCLUDE USING gist (bay_id WITH =, period WITH &&)
        WHERE (state IN ('proposed', 'confirmed', 'completed'))
);
-- One booking per fault episode.
CREATE UNIQUE INDEX booking_one_per_alert ON booking (alert_id) WHERE state IN ('proposed', 'confirmed', 'completed');
CREATE INDEX booking_alert ON booking (alert_id, created_at DESC);
CREATE INDEX booking_vehicle ON booking (vehicle_id, created_at DESC);
CREATE INDEX booking_held ON booking (held_until) WHERE state = 'proposed';

-- What leaves the system: written in the transaction that decides it, delivered at least once.
CREATE TABLE outgoing (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY,     -- order of one booking's messages of one kind
    kind text NOT NULL CHECK (kind IN ('owner_message', 'workshop_webhook', 'workshop_invitation')),
    idempotency_key text NOT NULL UNIQUE,
    booking_id uuid REFERENCES booking,
    alert_id uuid REFERENCES alert,
    vehicle_id uuid REFERENCES vehicle,             -- whose owner is told
    workshop_id uuid REFERENCES workshop,           -- which workshop is told
    payload jsonb NOT NULL,                         -- rules.delivery.messages; no address of anybody
    created_at timestamptz NOT NULL,
    next_attempt_at timestamptz NOT NULL,           -- also the end of a worker's lease
    attempts integer NOT NULL DEFAULT 0,
    delivered_to text[] NOT NULL DEFAULT '{}',      -- digests of the owner's channels that took it: not told twice
    delivered_at timestamptz,
    abandoned_at timestamptz,                       -- given up: it would come too late
    last_error text,                                -- without personal data
    CHECK (CASE kind WHEN 'owner_message' THEN vehicle_id ELSE workshop_id END IS NOT NULL)
);
CREATE INDEX outgoing_due ON outgoing (next_attempt_at) WHERE delivered_at IS NULL AND abandoned_at IS NULL;
CREATE INDEX outgoing_order ON outgoing (booking_id, kind, number) WHERE delivered_at IS NULL AND abandoned_at IS NULL;
