"""The terminal app: the only importer of Textual. `app.run` is its door; the core below knows nothing of it."""
