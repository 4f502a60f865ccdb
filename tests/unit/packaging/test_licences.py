"""Which licences pass, and that those of the locked packages do."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import PackageMetadata
from typing import cast

import pytest

import licences


@pytest.mark.parametrize(
    "licence",
    [
        *(
            "MIT",
            "MIT-0",
            "BSD-3-Clause",
            "BSD 2-Clause License",
            "Apache 2.0",
            "0BSD",
            "PSF-2.0",
            "ISC License (ISCL)",
        ),
        *("Apache-2.0 OR BSD-2-Clause", "BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0"),
    ],
)
def test_permissive_ones_pass(licence: str) -> None:
    assert licences.objection("some-package", licence) == ""


@pytest.mark.parametrize(
    "licence",
    [
        *("GPL-3.0-only", "GPLv2", "AGPL-3.0-or-later"),
        *("GNU General Public License v3 (GPLv3)", "GNU Affero General Public License v3"),
    ],
)
def test_strong_copyleft_never_passes_not_even_by_name(licence: str) -> None:
    assert "does not go with" in licences.objection("some-package", licence)
    assert "does not go with" in licences.objection("certifi", licence)


@pytest.mark.parametrize("licence", ["MPL-2.0", "LGPL-2.1-or-later", "GNU Lesser General Public License v3 (LGPLv3)"])
def test_weak_copyleft_passes_by_name_only(licence: str) -> None:
    assert "needs a look" in licences.objection("some-package", licence)
    assert licences.objection("certifi", licence) == ""


@pytest.mark.parametrize("licence", ["", "Proprietary", "see LICENSE"])
def test_saying_nothing_does_not_pass(licence: str) -> None:
    assert "look" in licences.objection("some-package", licence)


def test_the_expression_comes_first_then_field_and_classifiers() -> None:
    message = Message()
    message["License"] = "MIT\nwith more text"
    message["Classifier"] = "License :: OSI Approved :: MIT License"
    message["Classifier"] = "Programming Language :: Python"
    metadata = cast(PackageMetadata, message)
    assert licences.licence_of(metadata) == "MIT; MIT License"
    message["License-Expression"] = "Apache-2.0"
    assert licences.licence_of(metadata) == "Apache-2.0"


def test_the_locked_packages_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert licences.main() == 0
    assert int(capsys.readouterr().out.split()[2]) > 50
