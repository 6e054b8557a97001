"""What :mod:`health.forecast` is made of: the daily series, the priors (data), and the filter. Runs in the backend."""
