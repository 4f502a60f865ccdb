"""The parts of `bootstrap.py`: only the standard library and the ground floor of `secondme`, for they run first."""
