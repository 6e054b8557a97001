"""Where messages come from: one module per kind of broker client, all behind :class:`ingest.sources.port.Source`."""
