"""Projects: which documents a project opens with, how they are read, and what is built in the background."""
