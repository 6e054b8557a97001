"""Errors of the backend's intake. Each text says what is wrong and what to do; none carries personal data."""


class IngestError(Exception):
    """Base of all errors of this package."""


class DatabaseError(IngestError):
    """The database cannot be reached, or is not what is needed."""


class MigrationError(IngestError):
    """The schema cannot be brought up to date."""


class RegistryError(IngestError):
    """Something cannot be registered, or is not registered."""


class ReadingStoreError(IngestError):
    """A question the store cannot answer: an unknown column, an empty period."""


class BrokerError(IngestError):
    """The broker cannot be reached the way the settings say."""


class CommandError(IngestError):
    """A device cannot be asked, or may not be."""


class EnrolmentError(IngestError):
    """A device cannot be enrolled, or a certificate not be given or revoked."""


class PersonalDataError(IngestError):
    """Personal data cannot be opened, sealed, given out or erased."""


class RetentionError(IngestError):
    """What is asked to be kept or dropped would lose what is counted on, or is not understood."""


class StorageError(IngestError):
    """Maintenance must not run on the database as it is."""
