-- What the cars say: readings, estimates, events, latest state, and what was rejected.
-- depends: 0001.registry

-- Which batches are committed. The row is written in the transaction of the batch's data:
-- a batch is stored once however often it is sent.
CREATE TABLE batch (
    device_id text NOT NULL REFERENCES device,
    boot uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    channel text NOT NULL CHECK (channel IN ('readings', 'events')),
    items integer NOT NULL,                         -- samples or events in it
    digest bytea NOT NULL,                          -- BLAKE2b-128 of the payload: a key used again for other content shows
    resent integer NOT NULL DEFAULT 0,              -- how often it came again and was dropped
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, boot, sequence)
);

-- One row per vehicle and instant, a nullable column per catalogue signal (unit: the catalogue).
-- real holds 24 bits: every OBD and CAN value of the catalogue but metres and seconds, which are double precision.
CREATE TABLE reading (
    time timestamptz NOT NULL,
    vehicle_id uuid NOT NULL,
    speed real,
    traveled_distance double precision,
    engine_speed real,
    coolant_temperature real,
    oil_temperature real,
    oil_life_remaining double precision,
    oil_life real,
    engine_load real,
    throttle_position real,
    relative_throttle_position real,
    throttle_position_b real,
    accelerator_position_d real,
    accelerator_position_e real,
    throttle_actuator real,
    long_term_fuel_trim_1 real,
    short_term_fuel_trim_1 real,
    intake_manifold_pressure real,
    mass_air_flow real,
    fuel_level real,
    commanded_equivalence_ratio real,
    barometric_pressure real,
    intake_temperature real,
    timing_advance real,
    catalyst_temperature_1 real,
    catalyst_temperature_2 real,
    control_module_voltage real,
    commanded_evap real,
    engine_run_time real,
    run_time_mil real,
    time_since_dtc_cleared real,
    distance_with_mil real,
    distance_since_dtc_clear real,
    warmups_since_dtc_clear real,
    mil_on boolean,
    fuel_rate real,
    ambient_temperature real,
    dtc_count real,
    low_voltage_battery_voltage real,
    brake_pedal_position real,
    service_due boolean,
    distance_to_service double precision,
    time_to_service double precision,
    pad_wear_row1_left real,
    pad_wear_row1_right real,
    pad_wear_row2_left real,
    pad_wear_row2_right real,
    tire_pressure_row1_left real,
    tire_pressure_row1_right real,
    tire_pressure_row2_left real,
    tire_pressure_row2_right real,
    tire_temperature_row1_left real,
    tire_temperature_row1_right real,
    tire_temperature_row2_left real,
    tire_temperature_row2_right real,
    traction_battery_soh real,
    traction_battery_soc real,
    traction_battery_soc_displayed real,
    traction_battery_voltage real,
    traction_battery_current real,
    traction_battery_temperature real,
    traction_battery_charging boolean
);
DO $$ BEGIN
    PERFORM create_hypertable('reading', by_range('time', INTERVAL '7 days'), create_default_indexes => false);
END $$;
CREATE INDEX reading_vehicle_time ON reading (vehicle_id, time DESC);

-- Health values with their 90 % interval, in percent or the quantity's unit.
CREATE TABLE estimate (
    time timestamptz NOT NULL,
    vehicle_id uuid NOT NULL,
    quantity text NOT NULL,
    position text NOT NULL,                         -- '' or a wheel, 'Row1.Left'
    value real NOT NULL,
    low real NOT NULL,
    high real NOT NULL,
    source text NOT NULL CHECK (source IN ('ecu', 'estimated')),
    method text NOT NULL
);
DO $$ BEGIN
    PERFORM create_hypertable('estimate', by_range('time', INTERVAL '30 days'), create_default_indexes => false);
END $$;
CREATE INDEX estimate_vehicle_quantity_time ON estimate (vehicle_id, quantity, position, time DESC);

CREATE TABLE vehicle_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    vehicle_id uuid NOT NULL REFERENCES vehicle,
    time timestamptz NOT NULL,
    kind text NOT NULL,
    data jsonb NOT NULL
);
CREATE INDEX vehicle_event_vehicle_time ON vehicle_event (vehicle_id, time DESC);

-- Latest state of a vehicle, written in the transaction of the batch. A signal's newest sample wins, whatever
-- the order of arrival. `version` rises with each change: the rules claim vehicles by it.
-- The documents hold the records of ingest.storing.state:
-- signals:       {column: {"value", "time"}}
-- estimates:     {"oil_life/ecu" or "pad_wear@Row1.Left/estimated": {"quantity", "position", "value", "low", "high", "source", "method", "time"}}
-- trouble_codes: [{"code", "ecu", "status", "mil", "first_seen", "last_seen"}], those present now
-- cleared_codes: {"P0301@7E8" (code and control unit): when it was last cleared}: a late message does not bring it back
CREATE TABLE vehicle_state (
    vehicle_id uuid PRIMARY KEY REFERENCES vehicle,
    version bigint NOT NULL DEFAULT 1,
    last_sample_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    signals jsonb NOT NULL DEFAULT '{}',
    estimates jsonb NOT NULL DEFAULT '{}',
    trouble_codes jsonb NOT NULL DEFAULT '[]',
    cleared_codes jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE device_status (
    device_id text PRIMARY KEY REFERENCES device,
    boot uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('online', 'offline')),
    time timestamptz NOT NULL,
    version text NOT NULL,
    pending_batches integer NOT NULL
);

-- Messages that were not taken, with their reason: nothing is lost, and nothing stops the worker.
-- The same message again only counts up: a device that keeps sending one does not fill the disk.
CREATE TABLE rejected_message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_received_at timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1,
    topic text NOT NULL,
    reason text NOT NULL,                           -- telemetry.wire.REJECT_REASONS, or ingest.decoding.decode.REJECT_REASONS
    detail text NOT NULL,
    digest bytea NOT NULL,                          -- BLAKE2b-128 of topic and whole payload
    payload_size integer NOT NULL,                  -- bytes, whole
    payload bytea NOT NULL,                         -- its first MiB, the most that NATS takes
    UNIQUE (digest, reason)
);
CREATE INDEX rejected_message_received ON rejected_message (last_received_at DESC);
