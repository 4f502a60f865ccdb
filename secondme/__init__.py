"""A private second memory that lives on its owner's computer."""

__version__ = "0.1.0"
