-- The severity of an alert can rise while it is open: the state remembers the gravest that was told.
-- depends: 0102.booking

ALTER TABLE rule_state ADD COLUMN severity text CHECK (severity IN ('info', 'soon', 'urgent', 'stop'));
UPDATE rule_state SET severity = alert.severity FROM alert
WHERE alert.vehicle_id = rule_state.vehicle_id AND alert.rule_id = rule_state.rule_id
  AND alert.subject = rule_state.subject AND alert.closed_at IS NULL;
