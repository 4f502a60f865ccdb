"""Keys: one random master key, wrapped by the keyring or a passphrase, wrapping one key for each use; sealed files."""
