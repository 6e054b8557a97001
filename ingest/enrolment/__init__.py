"""Who gets a certificate, keeps it, and loses it: one-time tokens, renewal, revocation."""
