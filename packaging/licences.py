"""Check the licences of all locked packages that are installed: part of `make check`.

Permissive ones pass. Others pass only by name, with the reason; GPL and AGPL never do, and neither does a package that
does not say. What a package says of itself is read from its metadata.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageMetadata
from pathlib import Path

from boot.lockfile import read_pins

ROOT = Path(__file__).resolve().parent.parent
LOCKS = [ROOT / "packaging" / "lock" / name for name in ("dev.txt", "bench.txt")]
APART = {f"{name}.txt": f"build/{name}/lib/python*/site-packages" for name in ("kvpress", "mem0", "mlx-lm")}
"""Locks of environments of their own, with where their packages are if anybody asked for them."""
PERMISSIVE = re.compile(r"(?i)\b(MIT|0?BSD|apache|ISC|PSF|python software foundation|zlib|CC0|unlicense)\b")
COPYLEFT = re.compile(r"(?i)\b(AGPL|LGPL|GPL|MPL|EPL|CDDL|EUPL|affero|general public|mozilla public|eclipse public)")
NAMED = {
    "apsw-sqlite3mc": "zlib by its licence file, though not by its metadata; the cipher library is MIT",
    "certifi": "MPL-2.0: a list of certificates, used unchanged",
    "hnswlib": "Apache-2.0 by its licence file, though not by its metadata; benchmarks compare with it",
    "kvpress": "Apache-2.0 by its licence file, though not by its metadata; benchmarks compare with it",
    "hypothesis": "MPL-2.0: used by the tests only",
    "pyrage": "MIT by its licence file, though not by its metadata",
    "pathspec": "MPL-2.0: used by builds and checks only",
    "tqdm": "MPL-2.0 and MIT: used unchanged, through huggingface_hub",
}
FORBIDDEN = re.compile(r"(?i)(?<!L)GPL|affero|(?<!lesser )general public")


def licence_of(metadata: PackageMetadata) -> str:
    """What the package says: an SPDX expression if there is one, else its field and classifiers together."""
    if expression := metadata.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [
        line.rsplit("::", 1)[-1].strip() for line in metadata.get_all("Classifier") or [] if "License" in line
    ]
    first_line = next(iter(metadata.get_all("License") or [""])).strip().partition("\n")[0]
    return "; ".join([*([first_line] if first_line not in ("", "UNKNOWN") else []), *classifiers])


def objection(name: str, licence: str) -> str:
    """Why a package may not be used, or ""."""
    if FORBIDDEN.search(licence):
        return f"{licence} does not go with Apache-2.0"
    if name in NAMED:
        return ""
    if COPYLEFT.search(licence):
        return f"{licence} needs a look, then a line in NAMED"
    return (
        ""
        if PERMISSIVE.search(licence)
        else f"says {licence or 'nothing'} of its licence; look, then add a line to NAMED"
    )


def installed() -> Iterator[tuple[str, PackageMetadata]]:
    """Those that are not for this platform, or compared with in benchmarks that nobody asked for, are left out."""
    for name in sorted({pin.name for pin in read_pins(*LOCKS)}):
        try:
            yield name, importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    for lock, place in APART.items():
        path = [str(folder) for folder in ROOT.glob(place)]
        for name in sorted({pin.name for pin in read_pins(ROOT / "packaging" / "lock" / lock)}) if path else ():
            for distribution in importlib.metadata.distributions(name=name, path=path):
                yield name, distribution.metadata


def main() -> int:
    n_checked, n_bad = 0, 0
    for name, metadata in installed():
        n_checked += 1
        if why := objection(name, licence_of(metadata)):
            n_bad += 1
            print(f"{name}: {why}", file=sys.stderr)
    print(f"licences of {n_checked} packages: {n_bad} to object to")
    return 1 if n_bad or not n_checked else 0


if __name__ == "__main__":
    sys.exit(main())
