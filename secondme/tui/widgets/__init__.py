"""One file per widget, its `.tcss` beside it."""
