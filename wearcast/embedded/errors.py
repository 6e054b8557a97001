"""What can go wrong with the private services. Each text is one sentence that says what to do."""


class EmbeddedError(RuntimeError):
    """Base of all errors of this package."""


class AptError(EmbeddedError):
    """Debian packages could not be resolved, fetched or unpacked."""


class BootstrapError(EmbeddedError):
    """The virtual environment cannot be built on this machine."""


class ProcessError(EmbeddedError):
    """A child process did not start, or did not become ready."""


class DatabaseUnavailableError(EmbeddedError):
    """No TimescaleDB could be found, fetched or started."""


class BrokerUnavailableError(EmbeddedError):
    """The MQTT broker could not be found or started."""
