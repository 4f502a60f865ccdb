"""Makes the table that `secondme.kernels.late` projects the default embedder's token vectors with.

    python packaging/token_projection.py MODEL.gguf TEXT...

reads plain texts sentence by sentence and writes secondme/kernels/projections/<embedder>.npy, float16 [n_dims, 128]:
the leading eigenvectors of the second moments of the vectors of words that say something, so that products of vectors
change least. The shipped one was made from twelve public-domain and permissively licensed texts of 200 KB in all:
country profiles, travels, natural history, manuals and handbooks.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from secondme.kernels.late import ROW_DIMS
from secondme.runtime.base import FloatMatrix
from secondme.runtime.llama import LlamaEmbedder
from secondme.text.sentences import split_sentences

_FOLDER = Path(__file__).parents[1] / "secondme" / "kernels" / "projections"
_AT_ONCE = 64


def main(model: Path, texts: list[Path]) -> None:
    """Write the table for the embedder in `model`, and print what share of the vectors' energy it keeps."""
    embedder = LlamaEmbedder(model)
    sentences = [found.text for path in texts for found in split_sentences(path.read_text("utf-8"))]
    moments = np.zeros((embedder.n_dims, embedder.n_dims))
    for start in range(0, len(sentences), _AT_ONCE):
        for text in embedder.embed_tokens(sentences[start : start + _AT_ONCE]):
            says_something = np.array([word.isalnum() and len(word) > 3 for word in text.words], bool)
            vectors = text.vectors[says_something].astype(np.float64)
            moments += vectors.T @ vectors
    values, directions = np.linalg.eigh(moments)
    table = directions[:, ::-1][:, :ROW_DIMS] @ _rotation()
    name = hashlib.sha256(embedder.fingerprint.encode()).hexdigest()[:32]
    _FOLDER.mkdir(exist_ok=True)
    np.save(_FOLDER / f"{name}.npy", table.astype(np.float16))
    kept = values[::-1][:ROW_DIMS].sum() / values.sum()
    print(f"{name}: {len(sentences)} sentences, {100 * kept:.1f}% of the energy")


def _rotation() -> FloatMatrix:
    """Spreads the energy evenly over the columns, so that one step of int8 suits them all."""
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((ROW_DIMS, ROW_DIMS)))
    return np.asarray(turn, np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
