"""The encrypted store: one SQLite file with the words, the vectors and the conversations."""
