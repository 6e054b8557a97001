"""Where readings come from: one module per source, all alike (see :mod:`edge_agent.sources.base`)."""
