from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from secondme.config import Config
from secondme.errors import ModelChecksumMismatch, ModelError, ModelNotFound
from secondme.paths import config_file, models_dir
from secondme.runtime import catalog, installed, partial
from secondme.runtime.catalog import all_manifests, check_models, find, remove, resolve
from secondme.runtime.pull import PullDone, pull

BODY = b"GGUF" + b"weights" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder of the test's own."""
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def write_manifest(name: str = "mine", *, sha256: str | None = SHA256, kind: str = "generator", path: str = "") -> None:
    shape = '[architecture]\nlayers = 1\nkv_heads = 1\nhead_dim = 2\nsource = "x"\n' if kind == "generator" else ""
    text = f"""
name = "{name}"
kind = "{kind}"
format = "gguf"
backend = "llama.cpp"
parameters = "1B"
quantization = "Q8_0"
context_length = 4096
licence = "mit"
kv_bytes_per_token = {8 if kind == "generator" else 0}
{"" if sha256 else 'pin = "first-download"'}
{shape}
[[files]]
path = "{name}.gguf"
{f'sha256 = "{sha256}"' if sha256 else ""}

[[sources]]
type = "local"
path = "{path}"
"""
    folder = config_file().parent / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A model of the owner's, installed; returns its file."""
    source = tmp_path / "download.gguf"
    source.write_bytes(BODY)
    write_manifest(path=str(source))
    done = list(pull("mine"))[-1]
    assert isinstance(done, PullDone)
    return done.path


def counted_hashing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the files that are hashed in full."""
    hashed: list[Path] = []
    original = partial.hash_file

    def counting(path: Path, **options: Callable[[], bool]) -> object:
        hashed.append(path)
        return original(path, **options)

    monkeypatch.setattr(installed, "hash_file", counting)
    return lambda: len(hashed)


def test_the_owners_manifests_come_first(tmp_path: Path) -> None:
    write_manifest("smollm2-135m-instruct")
    write_manifest("mine")
    names = [manifest.name for manifest in all_manifests()]
    assert names == sorted(set(names)) and "mine" in names and "qwen3-4b" in names
    assert find("smollm2-135m-instruct").licence == "mit"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("qwen3-4B", "qwen3-4b"), ("smolm2", "smollm2-135m-instruct"), ("zzz", "models list"), ("", "models list")],
)
def test_an_unknown_name_gets_near_ones(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        find(name)
    assert caught.value.hint is not None and hint in caught.value.hint


@pytest.mark.parametrize("name", ["../models/qwen3-4b", ".hidden", "a/b", "x\0y", "c:\\x"])
def test_a_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(ModelNotFound):
        find(name)


def test_a_known_but_absent_model_says_how_to_get_it() -> None:
    with pytest.raises(ModelNotFound, match="not on this machine") as caught:
        resolve("qwen3-4b")
    assert caught.value.hint == "run: secondme models pull qwen3-4b"


def test_an_installed_model_resolves_without_hashing(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_hashed = counted_hashing(monkeypatch)
    found = resolve("mine", kind="generator")
    assert (found.name, found.path, found.sha256, found.format) == ("mine", mine, SHA256, "gguf")
    assert found.manifest is not None and found.manifest.name == "mine"
    assert n_hashed() == 0


def test_a_touched_file_is_hashed_once_more(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_hashed = counted_hashing(monkeypatch)
    os.utime(mine, ns=(1, 1))
    assert resolve("mine").sha256 == resolve("mine").sha256 == SHA256
    assert n_hashed() == 1


def test_a_changed_file_is_refused_even_with_its_old_times(mine: Path) -> None:
    before = mine.stat()
    changed = bytearray(BODY)
    changed[-1] ^= 1
    mine.write_bytes(changed)
    os.utime(mine, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ModelChecksumMismatch, match="not the file that was pinned") as caught:
        resolve("mine")
    assert caught.value.hint is not None and "pull mine" in caught.value.hint
    with pytest.raises(ModelChecksumMismatch):
        list(installed.verify(find("mine")))


def test_a_truncated_default_counts_as_absent(models: Path) -> None:
    folder = models / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(BODY)
    with pytest.raises(ModelNotFound, match="not on this machine"):
        resolve("smollm2-135m-instruct")


def test_the_wrong_kind_is_refused(mine: Path) -> None:
    with pytest.raises(ModelError, match="mine is a language model, not an embedding model"):
        resolve("mine", kind="embedder")


def test_a_path_resolves_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "My Model.GGUF"
    path.write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    n_hashed = counted_hashing(monkeypatch)
    for given in (str(path), "My Model.GGUF", "./My Model.GGUF"):
        found = resolve(given)
        assert (found.path, found.sha256, found.manifest) == (path, SHA256, None)
    assert n_hashed() == 1


def test_an_mlx_folder_resolves_by_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "mlx"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    first = resolve(str(folder))
    assert first.format == "mlx"
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert resolve(str(folder)).sha256 != first.sha256


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "not a GGUF"), (b"PK\x03\x04", "not a GGUF"), (None, "there is no file")]
)
def test_a_path_to_something_else_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=words):
        resolve(str(tmp_path / "x.gguf"))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model"):
        resolve(str(tmp_path))


def test_what_mlx_was_given_of_a_model_goes_with_it(mine: Path) -> None:
    folders = [installed.converted_folder(digest) for digest in (SHA256, "ab" * 32)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"12345")
    assert remove(find("mine")) == len(BODY) + 5
    assert [folder.exists() for folder in folders] == [False, True]


def test_a_models_folder_that_cannot_be_written_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(BODY)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "file" / "models"))
    assert resolve(str(path)).sha256 == SHA256


def test_an_unknown_hash_is_pinned_and_kept_after_removal(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes(BODY)
    write_manifest(sha256=None, path=str(source))
    done = list(pull("mine"))[-1]
    assert isinstance(done, PullDone) and done.newly_pinned and done.sha256 == SHA256
    assert remove(find("mine")) == len(BODY)
    source.unlink()
    source.write_bytes(BODY + b"changed at its source")
    with pytest.raises(ModelChecksumMismatch):
        list(pull("mine"))
    assert not (models_dir() / "mine").exists()
    source.write_bytes(BODY)
    done = list(pull("mine"))[-1]
    assert isinstance(done, PullDone) and not done.newly_pinned


def test_pulling_an_installed_model_does_nothing_and_a_damaged_one_mends_it(mine: Path) -> None:
    done = list(pull("mine"))[-1]
    assert isinstance(done, PullDone) and done.was_present
    mine.unlink()
    mine.write_bytes(b"GGUF damaged")
    done = list(pull("mine"))[-1]
    assert isinstance(done, PullDone) and not done.was_present
    assert mine.read_bytes() == BODY


def test_checks_name_what_is_missing_or_damaged(mine: Path, models: Path) -> None:
    config = Config(model="mine", embedder="all-minilm-l6-v2")
    checks = {check.name: check for check in check_models(config)}
    assert checks["model mine"].status == "ok"
    assert "manifest" in checks["model mine"].detail
    assert checks["model all-minilm-l6-v2"].status == "failed"
    assert "pull all-minilm-l6-v2" in checks["model all-minilm-l6-v2"].remedy
    mine.write_bytes(b"GGUF damaged")
    checks = {check.name: check for check in check_models(Config(model="/a/path.gguf", embedder="/b.gguf"))}
    assert checks["model mine"].status == "warning"
    assert catalog.needed_models(Config(model="/a/path.gguf", embedder="~/b.gguf")) == []


def test_the_real_defaults_resolve(minilm_path: Path, smollm2_path: Path) -> None:
    assert minilm_path.stat().st_size == 46_220_576
    assert smollm2_path.stat().st_size == 98_362_432
