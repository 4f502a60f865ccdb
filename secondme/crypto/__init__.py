"""Keys: one random master key, wrapped by the system's keyring or a passphrase, wrapping one key for each use; sealed files."""
