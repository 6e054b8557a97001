-- Roll-ups per hour and day, and keeping and dropping what is stored: docs/storage.md tells why.
-- depends: 0007.trace

-- The signals that are rolled up: the wire code in the catalogue, which also has the unit, and the value as a number.
CREATE TABLE reading_signal (
    signal smallint PRIMARY KEY,
    expression text NOT NULL UNIQUE                 -- over the columns of `reading`
);
INSERT INTO reading_signal (signal, expression) VALUES
    (1, 'speed'), (2, 'traveled_distance'), (3, 'engine_speed'), (4, 'coolant_temperature'), (5, 'oil_temperature'),
    (6, 'oil_life_remaining'), (7, 'oil_life'), (10, 'engine_load'), (11, 'throttle_position'),
    (12, 'relative_throttle_position'), (13, 'throttle_position_b'), (14, 'accelerator_position_d'),
    (15, 'accelerator_position_e'), (16, 'throttle_actuator'), (17, 'long_term_fuel_trim_1'),
    (18, 'short_term_fuel_trim_1'), (19, 'intake_manifold_pressure'), (20, 'mass_air_flow'), (21, 'fuel_level'),
    (22, 'commanded_equivalence_ratio'), (23, 'barometric_pressure'), (24, 'intake_temperature'),
    (25, 'timing_advance'), (26, 'catalyst_temperature_1'), (27, 'catalyst_temperature_2'),
    (28, 'control_module_voltage'), (29, 'commanded_evap'), (30, 'engine_run_time'), (31, 'run_time_mil'),
    (32, 'time_since_dtc_cleared'), (33, 'distance_with_mil'), (34, 'distance_since_dtc_clear'),
    (35, 'warmups_since_dtc_clear'), (36, 'mil_on::int'), (37, 'fuel_rate'), (50, 'ambient_temperature'),
    (51, 'dtc_count'), (52, 'low_voltage_battery_voltage'), (53, 'brake_pedal_position'), (54, 'service_due::int'),
    (55, 'distance_to_service'), (56, 'time_to_service'), (60, 'pad_wear_row1_left'), (61, 'pad_wear_row1_right'),
    (62, 'pad_wear_row2_left'), (63, 'pad_wear_row2_right'), (64, 'tire_pressure_row1_left'),
    (65, 'tire_pressure_row1_right'), (66, 'tire_pressure_row2_left'), (67, 'tire_pressure_row2_right'),
    (68, 'tire_temperature_row1_left'), (69, 'tire_temperature_row1_right'), (70, 'tire_temperature_row2_left'),
    (71, 'tire_temperature_row2_right'), (80, 'traction_battery_soh'), (81, 'traction_battery_soc'),
    (82, 'traction_battery_soc_displayed'), (83, 'traction_battery_voltage'), (84, 'traction_battery_current'),
    (85, 'traction_battery_temperature'), (86, 'traction_battery_charging::int'),
    (87, 'traction_battery_net_capacity');

-- Hours whose roll-up does not hold all rows yet, written in the transaction of the rows. A row for each group that
-- brought some, and no key: with one, ingest would wait for a roll-up's transaction, or its mark would go with that.
CREATE TABLE rollup_pending (
    vehicle_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- Buckets begin on the hour and on the day in UTC. Values in the catalogue's unit; booleans as 0 and 1. One row per
-- car and bucket, the figures of its signals in arrays of the same order: less than half the size of a row per signal.
CREATE TABLE rollup_hour (
    vehicle_id uuid NOT NULL,
    bucket timestamptz NOT NULL,
    signals smallint[] NOT NULL,
    minima double precision[] NOT NULL,
    maxima double precision[] NOT NULL,
    means double precision[] NOT NULL,
    lasts double precision[] NOT NULL,
    lasts_at timestamptz[] NOT NULL,
    counts integer[] NOT NULL,
    PRIMARY KEY (vehicle_id, bucket)
);
CREATE TABLE rollup_day (LIKE rollup_hour INCLUDING ALL);
DO $$ BEGIN
    -- Both divide into whole days: a day's hours are dropped together.
    PERFORM create_hypertable('rollup_hour', by_range('bucket', INTERVAL '30 days'), create_default_indexes => false);
    PERFORM create_hypertable('rollup_day', by_range('bucket', INTERVAL '90 days'), create_default_indexes => false);
END $$;

-- The same with a row per signal, for people and for computing. Ask for cars and times: there is no index by signal.
CREATE VIEW rollup_hour_value AS
SELECT vehicle_id, bucket, signal, minimum, maximum, mean, last, last_at, count
FROM rollup_hour CROSS JOIN LATERAL unnest(signals, minima, maxima, means, lasts, lasts_at, counts)
    AS figure (signal, minimum, maximum, mean, last, last_at, count);
CREATE VIEW rollup_day_value AS
SELECT vehicle_id, bucket, signal, minimum, maximum, mean, last, last_at, count
FROM rollup_day CROSS JOIN LATERAL unnest(signals, minima, maxima, means, lasts, lasts_at, counts)
    AS figure (signal, minimum, maximum, mean, last, last_at, count);

-- One row: what maintenance has done, and who does it.
CREATE TABLE storage_state (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    retention jsonb NOT NULL DEFAULT '{}',          -- {table: days or null for ever}, from ingest.rollups.retention
    settled_before timestamptz,                     -- every hour before it is rolled up but for what is pending
    raw_dropped_before timestamptz,                 -- rows of hours before it are dropped: late ones are merged
    hours_dropped_before timestamptz,               -- likewise the roll-ups per hour
    scheduler text NOT NULL DEFAULT 'process' CHECK (scheduler IN ('process', 'database')),
    reason text NOT NULL DEFAULT 'no maintenance has run yet',
    last_run_at timestamptz,
    last_run_seconds real,
    last_run_buckets integer,
    last_run_complete boolean                       -- else more hours are due
);
INSERT INTO storage_state DEFAULT VALUES;

-- What was stored before has no marks.
INSERT INTO rollup_pending (vehicle_id, hour)
SELECT DISTINCT vehicle_id, date_trunc('hour', time, 'UTC') FROM reading;

-- The ledger's old rows are found without a scan: they lie in the order of their time, so a few bytes per range of
-- pages do, and inserting costs next to nothing.
CREATE INDEX batch_committed ON batch USING brin (committed_at) WITH (pages_per_range = 32, autosummarize = on);

-- Roll up to `most` pending hours that begin before `settled`; tells how many there were, and whether more are left.
-- An hour is computed anew from its raw rows and its day from the hours, so that late and repeated rows are counted
-- as they are stored. Marks are taken first: every row that belongs to one is then seen.
-- It takes the first marks it meets: to sort them all for each thousand made a long backlog take its square of time.
CREATE FUNCTION refresh_rollups(most integer, settled timestamptz, OUT rolled integer, OUT more boolean)
LANGUAGE plpgsql SET enable_mergejoin = off AS $$
DECLARE
    state storage_state;
    vehicles uuid[];
    hours timestamptz[];
BEGIN
    -- Two at once: the one with the older snapshot could write last.
    PERFORM pg_advisory_xact_lock(hashtext('wearcast.rollups'));
    SELECT * INTO STRICT state FROM storage_state;
    WITH met AS MATERIALIZED (
        SELECT vehicle_id, hour FROM rollup_pending WHERE hour < settled LIMIT 20 * most
    ), chosen AS MATERIALIZED (
        SELECT DISTINCT vehicle_id, hour FROM met LIMIT most
    ), taken AS (
        DELETE FROM rollup_pending AS mark USING chosen
        WHERE mark.vehicle_id = chosen.vehicle_id AND mark.hour = chosen.hour
    )
    SELECT array_agg(vehicle_id), array_agg(hour), count(*), count(*) = most OR (SELECT count(*) FROM met) = 20 * most
    INTO vehicles, hours, rolled, more FROM chosen;
    IF rolled = 0 THEN
        RETURN;
    END IF;
    PERFORM roll_up_hours(vehicles, hours, coalesce(state.raw_dropped_before, '-infinity'));
    IF state.raw_dropped_before > ANY (hours) THEN
        PERFORM merge_late(
            vehicles, hours, state.raw_dropped_before, coalesce(state.hours_dropped_before, '-infinity')
        );
    END IF;
    PERFORM roll_up_days(vehicles, hours, coalesce(state.hours_dropped_before, '-infinity'));
END $$;

-- The query of the roll-up of wanted.vehicle_id in wanted.hour, a row per signal; $1 and $2 bound the time, so that
-- chunks are excluded when planning. Aggregating the wide row before it becomes a row per signal is five times as fast.
CREATE FUNCTION hour_query() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format(
        'SELECT found.* FROM (SELECT %s FROM reading WHERE vehicle_id = wanted.vehicle_id AND time >= $1 AND time < $2'
        ' AND time >= wanted.hour AND time < wanted.hour + INTERVAL ''1 hour'') AS wide CROSS JOIN LATERAL (VALUES %s)'
        ' AS found (signal, minimum, maximum, mean, last, last_at, count) WHERE found.count > 0',
        string_agg(format(
            'min(%1$s) AS n%2$s, max(%1$s) AS x%2$s, avg(%1$s) AS m%2$s, count(%1$s)::integer AS c%2$s,'
            ' last(%1$s, time) FILTER (WHERE %1$s IS NOT NULL) AS l%2$s,'
            ' max(time) FILTER (WHERE %1$s IS NOT NULL) AS t%2$s', expression, signal
        ), ', '),
        string_agg(format('(%1$s::smallint, n%1$s, x%1$s, m%1$s, l%1$s, t%1$s, c%1$s)', signal), ', ')
    ) FROM reading_signal
$$;

-- The statement that puts the rows per signal of `source`, a query in `context` (CTEs), into a table of roll-ups in
-- place of what is there. Several rows of a signal and bucket become one.
CREATE FUNCTION putting(into_table text, context text, source text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format($query$
        WITH %2$s one AS (
            SELECT vehicle_id, bucket, signal, min(minimum) AS minimum, max(maximum) AS maximum,
                   sum(mean * count) / sum(count) AS mean, last(last, last_at) AS last, max(last_at) AS last_at,
                   sum(count)::integer AS count
            FROM (%3$s) AS several GROUP BY vehicle_id, bucket, signal
        )
        INSERT INTO %1$I AS known
        SELECT vehicle_id, bucket, array_agg(signal ORDER BY signal), array_agg(minimum ORDER BY signal),
               array_agg(maximum ORDER BY signal), array_agg(mean ORDER BY signal), array_agg(last ORDER BY signal),
               array_agg(last_at ORDER BY signal), array_agg(count ORDER BY signal)
        FROM one GROUP BY vehicle_id, bucket
        ON CONFLICT (vehicle_id, bucket) DO UPDATE SET signals = excluded.signals, minima = excluded.minima,
            maxima = excluded.maxima, means = excluded.means, lasts = excluded.lasts, lasts_at = excluded.lasts_at,
            counts = excluded.counts
        WHERE known.* IS DISTINCT FROM excluded.*
    $query$, into_table, context, source)
$$;

-- Hours from `from_hour` on, from their raw rows.
CREATE FUNCTION roll_up_hours(vehicles uuid[], hours timestamptz[], from_hour timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE putting('rollup_hour', '', format(
        'SELECT wanted.vehicle_id, wanted.hour AS bucket, rolled.* FROM unnest($3, $4) AS wanted (vehicle_id, hour)'
        ' CROSS JOIN LATERAL (%s) AS rolled WHERE wanted.hour >= $5', hour_query()
    )) USING (SELECT min(hour) FROM unnest(hours) AS hour),
             (SELECT max(hour) + INTERVAL '1 hour' FROM unnest(hours) AS hour), vehicles, hours, from_hour;
END $$;

-- The days of these hours, from all their hours; days before `from_hour` have none any more.
CREATE FUNCTION roll_up_days(vehicles uuid[], hours timestamptz[], from_hour timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE putting('rollup_day', $context$
        wanted AS MATERIALIZED (
            SELECT DISTINCT vehicle_id, date_trunc('day', hour, 'UTC') AS day
            FROM unnest($3, $4) AS given (vehicle_id, hour) WHERE hour >= $5
        ),
    $context$, $source$
        SELECT wanted.vehicle_id, wanted.day AS bucket, rolled.* FROM wanted CROSS JOIN LATERAL (
            SELECT signal, minimum, maximum, mean, last, last_at, count FROM rollup_hour_value
            WHERE vehicle_id = wanted.vehicle_id AND bucket >= $1 AND bucket < $2
              AND bucket >= wanted.day AND bucket < wanted.day + INTERVAL '1 day' OFFSET 0
        ) AS rolled
    $source$) USING (SELECT date_trunc('day', min(hour), 'UTC') FROM unnest(hours) AS hour),
                    (SELECT max(hour) + INTERVAL '1 day' FROM unnest(hours) AS hour), vehicles, hours, from_hour;
END $$;

-- Rows that came after the raw rows of their hour were dropped: they are put into what is kept of it and deleted, so
-- that each counts once. Where the roll-ups per hour are dropped too, into the day.
CREATE FUNCTION merge_late(
    vehicles uuid[], hours timestamptz[], before_hour timestamptz, hours_from timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_hour CONSTANT timestamptz := (SELECT min(hour) FROM unnest(hours) AS hour);
BEGIN
    -- The rows are counted as they are deleted, in one statement: one that commits meanwhile waits for its own mark.
    CREATE TEMPORARY TABLE IF NOT EXISTS late_rollup ON COMMIT DROP AS SELECT * FROM rollup_hour_value LIMIT 0;
    TRUNCATE late_rollup;
    EXECUTE format($query$
        WITH wanted AS MATERIALIZED (
            SELECT vehicle_id, hour FROM unnest($3, $4) AS given (vehicle_id, hour) WHERE hour < $2
        ), gone AS (
            DELETE FROM reading USING wanted
            WHERE reading.vehicle_id = wanted.vehicle_id AND time >= $1 AND time < $2
              AND time >= hour AND time < hour + INTERVAL '1 hour'
        )
        INSERT INTO late_rollup
        SELECT wanted.vehicle_id, wanted.hour, rolled.* FROM wanted CROSS JOIN LATERAL (%s) AS rolled
    $query$, hour_query()) USING first_hour, before_hour, vehicles, hours;
    EXECUTE putting('rollup_hour', '', $source$
        SELECT * FROM late_rollup WHERE bucket >= $1
        UNION ALL
        SELECT known.* FROM (SELECT DISTINCT vehicle_id, bucket FROM late_rollup WHERE bucket >= $1) AS late
        JOIN rollup_hour_value AS known USING (vehicle_id, bucket)
    $source$) USING hours_from;
    EXECUTE putting('rollup_day', $context$
        late AS MATERIALIZED (
            SELECT vehicle_id, date_trunc('day', bucket, 'UTC') AS bucket,
                   signal, minimum, maximum, mean, last, last_at, count
            FROM late_rollup WHERE bucket < $1
        ),
    $context$, $source$
        SELECT * FROM late
        UNION ALL
        SELECT known.* FROM (SELECT DISTINCT vehicle_id, bucket FROM late) AS day
        JOIN rollup_day_value AS known USING (vehicle_id, bucket)
    $source$) USING hours_from;
END $$;

-- Drop the oldest chunk whose time is over, if nothing stands against it; returns its name or NULL.
-- Raw rows go only when their hours are rolled up. The lock waits for those who write into the chunk, so that none of
-- their marks is missed; whoever comes later finds raw_dropped_before.
CREATE FUNCTION drop_oldest_chunk(moment timestamptz) RETURNS text
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    state storage_state;
    chunk record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('wearcast.rollups'));
    SELECT * INTO STRICT state FROM storage_state;
    FOR chunk IN
        SELECT hypertable_name AS parent, chunk_schema, chunk_name, range_start, range_end
        FROM timescaledb_information.chunks
        WHERE hypertable_name IN ('reading', 'rollup_hour', 'rollup_day', 'estimate')
          AND range_end <= moment - (state.retention ->> hypertable_name)::integer * INTERVAL '1 day'
          -- A roll-up per hour is kept as long as its raw rows: it can only be computed again from all of them.
          AND (hypertable_name <> 'rollup_hour' OR range_end <= state.raw_dropped_before)
        ORDER BY range_end, hypertable_name
    LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', chunk.chunk_schema, chunk.chunk_name);
            IF chunk.parent = 'reading' THEN
                CONTINUE WHEN EXISTS (
                    SELECT 1 FROM rollup_pending WHERE hour >= chunk.range_start AND hour < chunk.range_end
                );
                UPDATE storage_state SET raw_dropped_before = greatest(raw_dropped_before, chunk.range_end);
            ELSIF chunk.parent = 'rollup_hour' THEN
                UPDATE storage_state SET hours_dropped_before = greatest(hours_dropped_before, chunk.range_end);
            END IF;
            PERFORM drop_chunks(
                format('%I', chunk.parent)::regclass, older_than => chunk.range_end, newer_than => chunk.range_start
            );
            RETURN format('%s %s', chunk.parent, chunk.range_start::date);
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- somebody writes into it just now: the next run
        END;
    END LOOP;
    RETURN NULL;
END $$;

-- Delete up to `most` rows each of the plain tables whose time is over; returns how many went.
CREATE FUNCTION delete_expired_rows(moment timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    expiry record;
    deleted bigint;
    total bigint := 0;
BEGIN
    FOR expiry IN
        SELECT kept.relation, kept.column_name, (retention ->> kept.relation)::integer AS days FROM storage_state,
        (VALUES ('batch', 'committed_at'), ('device_command', 'issued_at'), ('rejected_message', 'last_received_at'))
            AS kept (relation, column_name)
        WHERE retention ->> kept.relation IS NOT NULL
    LOOP
        EXECUTE format(
            'DELETE FROM %1$I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$I WHERE %2$I < $1 LIMIT $2))',
            expiry.relation, expiry.column_name
        ) USING moment - expiry.days * INTERVAL '1 day', most;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        total := total + deleted;
    END LOOP;
    RETURN total;
END $$;

-- All of it, in transactions of their own. Run by `wearcast db maintain`, or by the database's scheduler, whose jobs
-- have these arguments; config: {"scheduler": who calls, "passes": how often to take 1000 hours, all if missing}.
-- The scheduler that is not the chosen one does nothing: a job left over from another edition does no harm.
CREATE PROCEDURE maintain_storage(job_id integer, config jsonb) LANGUAGE plpgsql AS $$
DECLARE
    most CONSTANT integer := 1000;
    begun CONSTANT timestamptz := clock_timestamp();
    -- An hour is rolled up ten minutes after its end, when what a driving car sends has come.
    settled CONSTANT timestamptz := date_trunc('hour', begun - INTERVAL '10 minutes', 'UTC');
    passes integer := coalesce((config ->> 'passes')::integer, 2147483647);
    pass record;
    buckets integer := 0;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM storage_state WHERE scheduler = config ->> 'scheduler') THEN
        RETURN;
    END IF;
    LOOP
        SELECT * INTO pass FROM refresh_rollups(most, settled);
        COMMIT;
        buckets := buckets + pass.rolled;
        passes := passes - 1;
        EXIT WHEN NOT pass.more OR passes = 0;
    END LOOP;
    IF NOT pass.more THEN
        UPDATE storage_state SET settled_before = settled;
        COMMIT;
        WHILE drop_oldest_chunk(begun) IS NOT NULL LOOP
            COMMIT;
        END LOOP;
        WHILE delete_expired_rows(begun, 10000) > 0 LOOP
            COMMIT;
        END LOOP;
    END IF;
    UPDATE storage_state SET last_run_at = clock_timestamp(), last_run_buckets = buckets, last_run_complete = NOT pass.more,
        last_run_seconds = extract(epoch FROM clock_timestamp() - begun);
END $$;
