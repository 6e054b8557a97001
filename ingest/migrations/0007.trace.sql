-- Which batch changed a vehicle's state last: an alert that follows from it can be traced back.
-- depends: 0006.service_records

ALTER TABLE vehicle_state ADD COLUMN trace text;    -- telemetry.trace.trace_id
