"""MQTT -> TimescaleDB: registry, workers, store. Start with :mod:`ingest.worker`."""
