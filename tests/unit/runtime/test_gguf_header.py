"""Reading what a model is without loading it."""

from __future__ import annotations

import time
from pathlib import Path

import gguf
import numpy as np

from secondme.runtime.gguf_header import read_gguf_header


def test_the_small_model(smollm2_path: Path) -> None:
    started = time.process_time()
    header = read_gguf_header(smollm2_path)
    assert time.process_time() - started < 1  # it reads the header, not the weights
    assert (header.architecture, header.n_tensors) == ("llama", 272)
    assert (header.number("context_length"), header.number("block_count")) == (8192, 30)
    assert header.kv_bytes_per_token == 23_040
    assert header.size_bytes == smollm2_path.stat().st_size
    assert "<|im_start|>" in str(header.metadata["tokenizer.chat_template"])
    assert header.number("nothing", 7) == 7


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(4)
    writer.add_embedding_length(64)
    writer.add_head_count(8)
    writer.add_head_count_kv([2, 2, 4, 0])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(["a", "b", "é"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    writer.add_bool("general.flag", True)
    writer.add_int64("general.negative", -5)
    writer.add_tensor("t", np.zeros((3, 32), np.float16))
    writer.add_tensor("u", np.zeros((2, 34), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_gguf_header(path)
    assert header.metadata["general.flag"] is True
    assert header.metadata["general.negative"] == -5
    assert header.metadata["llama.attention.head_count_kv"] == (2, 2, 4, 0)
    assert "tokenizer.ggml.tokens" not in header.metadata
    assert header.number("attention.head_count_kv") == 4
    assert header.kv_bytes_per_token == 2 * (2 + 2 + 4 + 0) * (8 + 8)


def test_quantized_sizes_are_those_of_the_format() -> None:
    from secondme.runtime.gguf_header import BLOCKS

    known = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert {kind: sizes for kind, sizes in BLOCKS.items() if known.get(kind) != sizes} == {}
