"""A GGUF file with its weights expanded to float32: the same model, which llama.cpp then runs without rounding.

Beside 4- and 8-bit weights llama.cpp rounds activations to 8 bits, beside float32 it does not. So this file tells what
of the distance between two runtimes is that rounding.
"""

from __future__ import annotations

from pathlib import Path

_MADE_ANEW = ("general.architecture", "general.file_type")
"""The writer puts in the one, and the other would no longer be true."""


def write_expanded(source: Path, dest: Path) -> None:
    """`dest` takes four bytes a weight. Raises OSError."""
    import gguf
    import numpy as np

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(dest, str(reader.fields["general.architecture"].contents()))
    try:
        for field in reader.fields.values():
            if field.name.startswith("GGUF.") or field.name in _MADE_ANEW:
                continue
            item = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], item)
        for tensor in reader.tensors:
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, np.ascontiguousarray(weights, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
