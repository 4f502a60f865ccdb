"""`python -m secondme` is the same program as `secondme`."""

from secondme.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
