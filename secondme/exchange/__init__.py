"""Memory leaves and arrives: exports that another machine can read, and what other programs exported."""
