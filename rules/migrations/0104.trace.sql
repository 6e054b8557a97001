-- An alert names the batch it follows from; its booking and its messages name the alert.
-- depends: 0103.severity_rises 0007.trace

ALTER TABLE alert ADD COLUMN trace text;            -- telemetry.trace.trace_id; NULL: state of before there were traces
CREATE INDEX alert_trace ON alert (trace) WHERE trace IS NOT NULL;
