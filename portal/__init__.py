"""Web pages and HTTP API for owners, workshops and engineers. Start with :mod:`portal.app`."""
