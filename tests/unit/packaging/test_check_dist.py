"""The distributions hold what they must; made here without the compiled part, which `make dist` tries for real."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import check_dist


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return check_dist.build(tmp_path_factory.mktemp("dist") / "dist", "wheel.cmake=false", "wheel.py-api=py3")


def without(wheel: Path, folder: Path, *endings: str, extra: str = "") -> Path:
    """A copy of the wheel that lacks the files with these endings, and has an extra one."""
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            if not name.endswith(endings or ("no such ending",)):
                new.writestr(name, old.read(name))
        if extra:
            new.writestr(extra, "")
    return copy


def test_wheel_and_sdist_are_complete(built: tuple[Path, Path]) -> None:
    check_dist.check_wheel(built[0], compiled=False)
    check_dist.check_sdist(built[1])


@pytest.mark.parametrize("ending", ["py.typed", ".tcss", "secondme/cli/main.py", "_models/smollm2-135m-instruct.toml"])
def test_a_missing_file_is_found(built: tuple[Path, Path], tmp_path: Path, ending: str) -> None:
    with pytest.raises(check_dist.CheckFailed, match="the wheel lacks"):
        check_dist.check_wheel(without(built[0], tmp_path, ending), compiled=False)


def test_a_missing_licence_is_found(built: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(check_dist.CheckFailed, match="LICENSE"):
        check_dist.check_wheel(without(built[0], tmp_path, "/licenses/LICENSE"), compiled=False)


def test_a_missing_or_stray_extension_is_found(built: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(check_dist.CheckFailed, match="one extension"):
        check_dist.check_wheel(built[0])
    stray = without(built[0], tmp_path, extra="secondme/kernels/_native.old.so")
    with pytest.raises(check_dist.CheckFailed, match="one extension"):
        check_dist.check_wheel(stray, compiled=False)


def test_what_does_not_belong_is_found(built: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(check_dist.CheckFailed, match="not part of it"):
        check_dist.check_wheel(without(built[0], tmp_path, extra="tests/x.py"), compiled=False)
