"""KV cartridges: a document's keys and values, computed once, compressed, sealed, and put back at any position."""
