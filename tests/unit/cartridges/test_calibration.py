"""A calibration's file comes back as it was written; nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from secondme.cartridges import calibrations
from secondme.cartridges.calibration import Calibration, build_calibration, parse_calibration, read_calibration
from secondme.errors import CartridgeIncompatible
from secondme.runtime.catalog import all_manifests
from tests.calibrated import IDENTITY, SHAPE, a_calibration


def sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def test_a_file_comes_back(tmp_path: Path) -> None:
    data, made = a_calibration()
    path = tmp_path / "a.smkc"
    calibrations.put_calibration(path, data)
    read = read_calibration(path)
    assert read.digest == made.digest == hashlib.sha256(data).hexdigest()
    assert (read.shape, read.rope, read.weights) == (SHAPE, IDENTITY.rope, IDENTITY.weights)
    assert build_calibration(read)[0] == data
    product = read.keys.analysis.astype(np.float64) @ read.keys.synthesis.astype(np.float64)
    assert np.abs(product - np.eye(SHAPE.k_dim)).max() < 1e-4
    assert [p.name for p in tmp_path.iterdir()] == ["a.smkc"]


def test_any_change_is_refused() -> None:
    data, _ = a_calibration()
    rng = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(data)
        damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
        with pytest.raises(CartridgeIncompatible):
            parse_calibration(bytes(damaged))
    for cut in (data[:-1], data + b"\0", data[:10], b"", data[:100] + data[101:]):
        with pytest.raises(CartridgeIncompatible):
            parse_calibration(cut)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"k_dim":16', b'"k_dim":17'),
        (b'"k_dim":16', b'"k_dim":-1'),
        (b'"n_layers":3', b'"n_layers":3.0'),
        (b'"pairs":"adjacent"', b'"pairs":"diagonal"'),
        (b'"weights":"aaa', b'"weights":"AAA'),
        (b'"movable":true', b'"movable":1'),
        (b'"n_dims"', b' "n_dims"'),
        (b'{"rope":', b'{"more":1,"rope":'),
    ],
)
def test_a_wrong_header_is_refused_though_its_checksum_fits(old: bytes, new: bytes) -> None:
    body = a_calibration()[0][:-32]
    assert old in body
    size = int.from_bytes(body[6:8], "little") + len(new) - len(old)
    changed = body.replace(old, new, 1)
    with pytest.raises(CartridgeIncompatible):
        parse_calibration(sealed(changed[:6] + size.to_bytes(2, "little") + changed[8:]))


def test_numbers_that_make_no_transform_are_refused() -> None:
    _, made = a_calibration()

    def refused(**changes: object) -> None:
        with pytest.raises(CartridgeIncompatible):
            build_calibration(dataclasses.replace(made, **changes))  # type: ignore[arg-type]

    weights = made.keys.weights.copy()
    weights[1, 3] = weights[1, 4]
    refused(keys=dataclasses.replace(made.keys, weights=weights))
    refused(values=dataclasses.replace(made.values, scales=-made.values.scales))
    refused(values=dataclasses.replace(made.values, mean=np.full_like(made.values.mean, np.nan)))
    refused(padding=np.full_like(made.padding, np.inf))
    refused(weights="a" * 63)


def test_another_models_is_refused() -> None:
    made = a_calibration()[1]
    made.check_fits(IDENTITY)
    for other in (
        dataclasses.replace(IDENTITY, weights="d" * 64),
        dataclasses.replace(IDENTITY, shape=dataclasses.replace(SHAPE, n_layers=4)),
        dataclasses.replace(IDENTITY, rope=dataclasses.replace(IDENTITY.rope, freq_base=500000.0)),
    ):
        with pytest.raises(CartridgeIncompatible):
            made.check_fits(other)


def test_the_owners_own_comes_first_and_a_broken_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(calibrations, "SHIPPED", tmp_path / "shipped")
    shipped, own = a_calibration(0), a_calibration(1)

    def found() -> Calibration | None:
        return calibrations.calibration_of(IDENTITY)

    assert found() is None
    calibrations.put_calibration(calibrations.SHIPPED / f"{IDENTITY.weights}.smkc", shipped[0])
    read = found()
    assert read is not None
    assert read.digest == shipped[1].digest
    calibrations.put_calibration(calibrations.path_of(IDENTITY.weights), own[0])
    read = found()
    assert read is not None
    assert read.digest == own[1].digest
    calibrations.put_calibration(calibrations.path_of(IDENTITY.weights), own[0][:-1])
    read = found()
    assert read is not None
    assert read.digest == shipped[1].digest


def test_what_comes_with_the_program_is_whole_small_and_of_models_there_are() -> None:
    paths = list(calibrations.SHIPPED.iterdir())
    models = {file.sha256 for manifest in all_manifests() for file in manifest.files}
    assert paths
    for path in paths:
        assert path.stat().st_size <= 8 << 20
        made = read_calibration(path)
        assert path.name == f"{made.weights}.smkc"
        assert made.weights in models
