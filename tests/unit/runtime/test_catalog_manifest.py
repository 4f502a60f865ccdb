from __future__ import annotations

from pathlib import Path

import pytest

from secondme.config import DEFAULT_EMBEDDER, DEFAULT_MODEL
from secondme.errors import ConfigError
from secondme.runtime.catalog import all_manifests
from secondme.runtime.manifest import HubSource, WheelSource, read_manifest

GOOD = f"""
name = "mine"
kind = "generator"
format = "gguf"
backend = "llama.cpp"
parameters = "1B"
quantization = "Q8_0"
context_length = 4096
licence = "mit"
kv_bytes_per_token = 2048

[architecture]
layers = 4
kv_heads = 2
head_dim = 64
source = "config.json"

[[files]]
path = "mine.gguf"
size_bytes = 10
sha256 = "{"a" * 64}"

[[sources]]
type = "hub"
repo = "me/mine"
revision = "main"
file = "q8/mine.gguf"
"""


def read(tmp_path: Path, text: str, name: str = "mine") -> None:
    (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    read_manifest(tmp_path / f"{name}.toml")


def test_the_programs_own_manifests_are_right() -> None:
    manifests = {manifest.name: manifest for manifest in all_manifests()}
    assert manifests[DEFAULT_MODEL].kind == "generator"
    assert manifests[DEFAULT_EMBEDDER].kind == "embedder"
    generators = [m for m in manifests.values() if m.kind == "generator" and m.name != DEFAULT_MODEL]
    assert len(generators) >= 6
    assert {m.format for m in generators} == {"gguf", "mlx"}
    for manifest in manifests.values():
        assert manifest.licence and manifest.notes
        for source in manifest.sources:
            if isinstance(source, HubSource):
                assert len(source.revision) == 40, "a branch may change under a pinned hash"
            else:
                assert isinstance(source, WheelSource)


def test_known_architectures_cost_what_was_measured() -> None:
    manifests = {manifest.name: manifest for manifest in all_manifests()}
    assert manifests["qwen3-4b"].kv_bytes_per_token == 147_456
    assert manifests["llama-3.2-3b-instruct"].kv_bytes_per_token == 114_688
    assert manifests["smollm2-135m-instruct"].kv_bytes_per_token == 23_040


def test_a_manifest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    manifest = read_manifest(path)
    assert manifest.main_file == "mine.gguf"
    assert manifest.size_bytes == 10
    assert manifest.is_pinned
    assert manifest.sources == (HubSource("me/mine", "main", "q8/mine.gguf"),)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "mine"', 'name = "other"', "name must be mine"),
        ('name = "mine"', 'name = "../mine"', "name must be lower case"),
        ('name = "mine"', "", "name is missing"),
        ('kind = "generator"', 'kind = "reranker"', "kind must be one of"),
        ('kind = "generator"', 'kind = "embedder"', "kv_bytes_per_token must be 0"),
        ('backend = "llama.cpp"', 'backend = "mlx"', "backend must be llama.cpp"),
        ("context_length = 4096", 'context_length = "4096"', "context_length must be of type int"),
        ("context_length = 4096", "context_length = true", "context_length must be of type int"),
        ("context_length = 4096", "context_length = -1", "must not be negative"),
        ("kv_bytes_per_token = 2048", "kv_bytes_per_token = 2047", "must be 2048 for this architecture"),
        ("layers = 4", "", "architecture.layers is missing"),
        ("layers = 4", "layers = 4\nwidth = 1", "unknown field architecture.width"),
        ('path = "mine.gguf"', 'path = "mine.bin"', "exactly one file"),
        ('path = "mine.gguf"', 'path = "../../mine.gguf"', "relative path"),
        ('path = "mine.gguf"', 'path = "/etc/mine.gguf"', "relative path"),
        ('path = "mine.gguf"', 'path = "C:\\\\mine.gguf"', "relative path"),
        ("a" * 64, "A" * 64, "64 hex digits"),
        (f'sha256 = "{"a" * 64}"', "", "first-download"),
        ("size_bytes = 10", "size_bytes = 10\nurl = 'x'", r"unknown field files\[0\].url"),
        ('type = "hub"', 'type = "torrent"', r"sources\[0\].type must be one of"),
        ('repo = "me/mine"', 'repo = "mine"', "owner/name"),
        ('file = "q8/mine.gguf"', "", r"sources\[0\].file is missing"),
        ('licence = "mit"', 'licence = "mit"\npin = "first-download"', "first-download"),
        ('licence = "mit"', 'licence = "mit"\nextra = 1', "unknown field extra"),
        ('licence = "mit"', "licence = ", "not a readable manifest"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=words) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert "mine.toml" in caught.value.message


def test_a_manifest_without_sources_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sources is missing"):
        read(tmp_path, GOOD.partition("[[sources]]")[0])


def test_an_unreadable_manifest_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not a readable manifest"):
        read_manifest(tmp_path / "mine.toml")
