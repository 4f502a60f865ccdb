"""Fixtures of the terminal app's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

COAT = "The red coat hangs in the hall beside the mirror."
TENT = "The green tent needs eleven pegs and one spare pole."


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A small folder with a space in its name."""
    folder = tmp_path / "my notes"
    folder.mkdir()
    filler = "\n".join(f"Line {n} speaks of nothing in particular." for n in range(1, 12))
    (folder / "house.md").write_text(f"# House\n\n{filler}\n\n## Hall\n\n{COAT}\n\nThe keys lie on the shelf.\n")
    (folder / "camp.txt").write_text(f"{TENT}\nThe stove burns gas.\n")
    (folder / "empty.md").write_text("")
    return folder
