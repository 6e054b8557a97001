"""Errors of this package; each text says what is wrong and what to do."""


class FirmwareProfilesError(Exception):
    """Base of all errors of this package."""


class ProfileError(FirmwareProfilesError):
    """A profile is wrong or missing: the text names the file, the path in it and the nearest valid word."""


class FamilyError(ProfileError):
    """A family was named where a profile is wanted."""


class AuthorityError(FirmwareProfilesError):
    """The certificate authority cannot be opened or cannot issue what was asked."""


class BundleError(FirmwareProfilesError):
    """A bundle cannot be written from what was asked."""
