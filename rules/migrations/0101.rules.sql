-- What the rules remember, and the alerts they raise.
-- depends: 0002.telemetry

-- How far the rules have looked at each vehicle. A vehicle is due when vehicle_state.version is ahead,
-- or when `due_at` has come (silence that begins, a forecast to look at again, a failure to retry).
CREATE TABLE rule_progress (
    vehicle_id uuid PRIMARY KEY REFERENCES vehicle,
    evaluated_version bigint NOT NULL,
    evaluated_at timestamptz NOT NULL,
    due_at timestamptz,
    failures integer NOT NULL DEFAULT 0,            -- in a row; while above 0 only due_at makes the vehicle due
    last_error text                                 -- of the last evaluation, NULL = none
);
CREATE INDEX rule_progress_due ON rule_progress (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE rule_state (
    rule_id text NOT NULL,
    vehicle_id uuid NOT NULL REFERENCES vehicle,
    subject text NOT NULL,                          -- '' for the car, a wheel 'Row1.Left', a trouble code 'P0301'
    state text NOT NULL CHECK (state IN ('ok', 'pending', 'firing', 'unknown')),
    since timestamptz NOT NULL,                     -- when this state began
    pending_since timestamptz,                      -- sample time from which the condition has held
    was_firing boolean NOT NULL DEFAULT false,      -- 'unknown' neither fires nor clears: what it was before
    rule_version text NOT NULL,
    PRIMARY KEY (rule_id, vehicle_id, subject)
);

CREATE TABLE alert (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    vehicle_id uuid NOT NULL REFERENCES vehicle,
    rule_id text NOT NULL,
    rule_version text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'soon', 'urgent', 'stop')),
    title_en text NOT NULL,
    title_zh text NOT NULL,
    text_en text NOT NULL,
    text_zh text NOT NULL,
    job text,                                       -- workshop job to book, NULL = none
    evidence jsonb NOT NULL,                        -- the values the rule saw, with their times
    opened_at timestamptz NOT NULL,
    closed_at timestamptz
);
-- One alert per episode, guaranteed here and not by code.
CREATE UNIQUE INDEX alert_one_open ON alert (vehicle_id, rule_id, subject) WHERE closed_at IS NULL;
CREATE INDEX alert_vehicle ON alert (vehicle_id, opened_at DESC);
