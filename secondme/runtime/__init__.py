"""Models: the protocols, the backends that implement them, and how model files come to this machine."""
