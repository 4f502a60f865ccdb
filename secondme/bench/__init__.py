"""Benchmarks: a file each, printing rows. Times on shared machines drift, so every row with a peer quotes the ratio."""
