-- What an estimate rests on, and what keeps its interval wide.
-- depends: 0004.net_capacity

ALTER TABLE estimate ADD COLUMN measurements integer;                 -- charges, starts, drives; NULL: not counted
ALTER TABLE estimate ADD COLUMN limited_by text NOT NULL DEFAULT '';  -- a word, see telemetry.records.Limitation
