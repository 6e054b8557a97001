-- What a traction battery holds as it has aged: some makers tell this in place of a state of health.
-- depends: 0002.telemetry

ALTER TABLE reading ADD COLUMN traction_battery_net_capacity real;   -- kWh
