"""The encrypted store: sources, passages, vectors, conversations, in one SQLite file and nowhere else."""
