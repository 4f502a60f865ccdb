"""The program that makes the table of token projections: what it writes is what the kernels' face reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import token_projection
from secondme.kernels import late

TEXT = "The ferry crosses the bay twice a day. Gulls follow it for bread. In winter the harbour freezes over.\n" * 3


def test_a_table_is_written_under_the_embedders_name_and_read_from_there(
    tmp_path: Path, minilm_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    (shipped,) = late._TABLES.glob("*.npy")
    for module, name in ((token_projection, "_FOLDER"), (late, "_TABLES")):
        monkeypatch.setattr(module, name, tmp_path / "projections")
    token_projection.main(minilm_path, [tmp_path / "text.txt"])
    (made,) = (tmp_path / "projections").iterdir()
    assert made.name == shipped.name
    assert "9 sentences" in capsys.readouterr().out
    table = np.load(made).astype(np.float32)
    assert table.shape == (384, late.ROW_DIMS) and made.stat().st_size < 110_000
    np.testing.assert_allclose(table.T @ table, np.eye(late.ROW_DIMS), atol=2e-3)
