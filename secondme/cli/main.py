"""Finds the verb, runs it, and renders every error once.

The table of verbs is all that `--help` needs; a verb's module is imported only when the verb is called.
"""

from __future__ import annotations

import os
import sys

# verb -> what it does; the module is secondme.cli.<verb>, with register(subparsers) and run(args) -> int. A verb that
# is a word of Python has a module with an underscore behind it.
VERBS = {
    "chat": "open the terminal app (what plain `secondme` does)",
    "ask": "ask one question and print the answer with its citations",
    "add": "bring files and folders into memory",
    "memory": "list, search and show what is in memory, and what became of it",
    "project": "make, open, list and remove projects",
    "cartridge": "list, build and verify what is kept of documents that were read",
    "forget": "take something out of memory with everything derived from it",
    "wipe": "destroy all of memory, or one project, and prove it",
    "export": "write all of memory into one file, sealed for a passphrase",
    "import": "bring in an export of secondme, ChatGPT or Claude, Markdown notes, or JSONL",
    "keys": "show, add and change the ways to open memory, renew its keys, lock it",
    "models": "list, pull, verify and remove models",
    "doctor": "check that everything works on this machine",
    "bench": "measure speed and size; prints rows",
}

_MODULES = {"import": "import_"}


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # NumPy's threads spin at barriers: weighing a document's tokens took 160 s instead of 8 s beside a busy process.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    args = sys.argv[1:] if argv is None else argv
    if args in (["--version"], ["-V"]):
        from secondme import __version__

        print(f"secondme {__version__}")
        return 0
    from secondme.cli.output import render_errors

    return render_errors(lambda: _dispatch(args))


def _dispatch(args: list[str]) -> int:
    import argparse
    import importlib

    parser = argparse.ArgumentParser(
        prog="secondme",
        description="A private second memory that lives on this computer. "
        "Drop folders on it, ask, and get answers with citations; nothing leaves the machine.",
        epilog="`secondme VERB --help` tells more about a verb. Settings, data and models: `secondme doctor`.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    wanted = next((a for a in args if not a.startswith("-")), None)
    if not args or (wanted is None and not {"-h", "--help"} & set(args)):
        wanted, args = "chat", ["chat", *args]
    if wanted in VERBS:
        module = importlib.import_module(f"secondme.cli.{_MODULES.get(wanted, wanted)}")
        module.register(verbs)
        code: int = module.run(parser.parse_args(args))
        return code
    for verb, what in VERBS.items():
        verbs.add_parser(verb, help=what)
    parser.parse_args(args)  # prints help, or says which verbs there are
    return 2
