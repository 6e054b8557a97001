-- Messages to workshops name nobody: customer and VIN are looked up at the moment of delivery.
-- depends: 0103.severity_rises

UPDATE outgoing SET payload = payload - 'customer' - 'vin' WHERE kind <> 'owner_message';

-- Work done for somebody who was erased, as the workshop's books need it: what, when, where, for how much; for nobody.
CREATE TABLE anonymous_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workshop_id uuid NOT NULL REFERENCES workshop,
    bay_id uuid NOT NULL,
    job text NOT NULL,
    period tstzrange NOT NULL,
    price numeric(10, 2) NOT NULL,
    currency text NOT NULL,                         -- ISO 4217
    FOREIGN KEY (bay_id, workshop_id) REFERENCES bay (id, workshop_id)
);
