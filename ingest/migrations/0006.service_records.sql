-- What people did to a car or measured on it, on its way to the car's dongle; and what they said to a suspicion.
-- depends: 0005.estimate_basis

CREATE TABLE service_record (
    id uuid PRIMARY KEY,
    ordinal bigint GENERATED ALWAYS AS IDENTITY,    -- order of telling: pads are replaced, then the new ones measured
    vehicle_id uuid NOT NULL REFERENCES vehicle,
    time timestamptz NOT NULL,                      -- when it was done
    quantity text NOT NULL,                         -- telemetry.records.Quantity
    position text NOT NULL DEFAULT '',              -- '' or an axle, 'Row1', or a wheel, 'Row1.Left'
    action text NOT NULL CHECK (action IN ('replaced', 'measured', 'adjusted')),
    value double precision,
    unit text NOT NULL DEFAULT '',
    by_role text NOT NULL CHECK (by_role IN ('owner', 'workshop', 'engineer')),
    by_name text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at timestamptz,                            -- last
    sent_while_online boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,            -- while the dongle was online
    applied_at timestamptz,                         -- when the dongle had said so
    refused_reason text,                            -- the dongle's, for good
    CHECK ((action = 'measured') = (value IS NOT NULL)),
    CHECK (applied_at IS NULL OR refused_reason IS NULL)
);
CREATE INDEX service_record_vehicle ON service_record (vehicle_id, time DESC);
CREATE INDEX service_record_pending ON service_record (vehicle_id)
    WHERE applied_at IS NULL AND refused_reason IS NULL;

-- The owner's answer to an event service.suspected; a yes has its record.
CREATE TABLE suspicion_answer (
    event_id bigint PRIMARY KEY REFERENCES vehicle_event ON DELETE CASCADE,
    confirmed boolean NOT NULL,
    service_id uuid REFERENCES service_record,
    answered_at timestamptz NOT NULL,
    CHECK (confirmed = (service_id IS NOT NULL))
);
