"""Destroys all of memory, or one project of it, and says what was done in a report that anybody can check."""
