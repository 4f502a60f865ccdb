"""Model files that are not what they should be: one clear error each, and the process lives on."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from secondme.errors import ModelError, ModelNotFound
from secondme.runtime.llama import LlamaEmbedder, LlamaGenerator

LOADERS: list[Callable[[Path], object]] = [LlamaGenerator, LlamaEmbedder]


def header(n_tensors: int, entries: bytes = b"", n_entries: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_entries) + entries


def entry(key: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + value


FILES = {
    "empty": (b"", "is empty"),
    "two bytes": (b"GG", "not a GGUF"),
    "magic only": (b"GGUF", "cut off inside its header"),
    "text": (b"# My notes\n\nhello\n" * 100, "not a GGUF"),
    "old version": (header(1, version=1), "version 1"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 1, 1), "version"),
    "no weights": (header(0), "no weights"),
    "endless counts": (header(1, n_entries=2**60), "count is impossible"),
    "endless tensors": (header(2**60), "count is impossible"),
    "endless text": (header(1, struct.pack("<Q", 2**60), 1), "impossibly long"),
    "unknown value": (header(1, entry("a", 99, b""), 1), "unknown type"),
    "endless list": (header(1, entry("a", 9, struct.pack("<IQ", 10, 2**23)), 1), "cut off inside its header"),
    "list of lists": (header(1, entry("a", 9, struct.pack("<IQ", 9, 3)), 1), "unknown type"),
    "no layers": (
        header(1, entry("general.architecture", 8, struct.pack("<Q", 1) + b"x"), 2)
        + entry("x.block_count", 4, bytes(4))
        + struct.pack("<QcIQIQ", 1, b"t", 1, 1, 0, 0)
        + bytes(64),
        "number of layers",
    ),
    "tensor of five dimensions": (header(1) + struct.pack("<QcI", 1, b"t", 5), "impossible shape"),
    "tensor beyond the end": (header(1) + struct.pack("<QcIQIQ", 1, b"t", 1, 2**40, 0, 0), "bytes are missing"),
    "token twice": (
        header(1, entry("tokenizer.ggml.tokens", 9, struct.pack("<IQQcQc", 8, 2, 1, b"a", 1, b"a")), 1),
        "a token twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("load", LOADERS, ids=["generator", "embedder"])
@pytest.mark.parametrize(("content", "why"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_model_is_named_with_its_fault(
    tmp_path: Path, load: Callable[[Path], object], content: bytes, why: str
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=why) as caught:
        load(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("load", LOADERS, ids=["generator", "embedder"])
def test_a_missing_file_and_a_folder(tmp_path: Path, load: Callable[[Path], object]) -> None:
    with pytest.raises(ModelNotFound, match="no model file"):
        load(tmp_path / "missing.gguf")
    with pytest.raises(ModelError, match="not a file"):
        load(tmp_path)


@pytest.mark.parametrize("load", LOADERS, ids=["generator", "embedder"])
def test_a_file_that_may_not_be_read(
    tmp_path: Path, load: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, as in containers, may read every file
    with pytest.raises(ModelError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.99999])
def test_a_download_that_broke_off(smollm2_path: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "part.gguf"
    whole = smollm2_path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match="cut off"):
        LlamaGenerator(path)


CHILD = """
import sys
from pathlib import Path
from secondme.errors import ModelError
from secondme.runtime.llama import LlamaEmbedder
path = Path(sys.argv[1])
whole = path.read_bytes()
n_refused = 0
for line in sys.stdin:
    spots = [tuple(map(int, spot.split(":"))) for spot in line.split()]
    with path.open("r+b") as file:
        for place, value in spots:
            file.seek(place)
            file.write(bytes([value]))
    try:
        embedder = LlamaEmbedder(path)
        embedder.embed(["hello"])
        embedder.close()
    except ModelError:
        n_refused += 1
    with path.open("r+b") as file:
        for place, _ in spots:
            file.seek(place)
            file.write(whole[place : place + 1])
print(n_refused)
"""


def test_damaged_headers_never_end_the_process(minilm_path: Path, tmp_path: Path) -> None:
    """Bytes of metadata and tensor table set at random, in a process of its own, because C++ might abort."""
    path = tmp_path / "damaged.gguf"
    whole = minilm_path.read_bytes()
    path.write_bytes(whole)
    table = whole.index(b"token_embd.weight")
    rng = random.Random(7)
    lines = []
    for i in range(30):
        first, last = (24, 1400) if i % 2 else (table - 40, table + 6000)
        spots = {rng.randrange(first, last): rng.choice((0, 1, 127, 128, 255)) for _ in range(rng.choice((1, 2, 4)))}
        lines.append(" ".join(f"{place}:{value}" for place, value in spots.items()))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 10
