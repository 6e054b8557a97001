"""Hardware and vehicle profiles (YAML) and what is flashed from them. Start with :mod:`firmware_profiles.profile`."""
