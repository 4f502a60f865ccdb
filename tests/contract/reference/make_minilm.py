"""Makes minilm.json: what all-MiniLM-L6-v2 says of plain and awkward texts, by an implementation of its own.

NumPy in float32 from the published weights, with the tokenizers library and GELU by the error function; nothing of it
goes through llama.cpp or secondme. Run it where numpy, safetensors and tokenizers are installed:

    python make_minilm.py FOLDER_WITH_SAFETENSORS_AND_TOKENIZER_JSON > minilm.json

Source of the architecture: Devlin et al. 2018; mean pooling and unit length as in Reimers and Gurevych 2019.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

N_HEADS = 12
EPSILON = 1e-12
TEXTS = [
    "",
    "   \n\t ",
    "hello",
    "The lighthouse keeper wrote down the wind, the tide and the names of the ships that passed.",
    "What did the keeper of the lighthouse write down?",
    "Quarterly revenue grew by 12.5 % to $4.2 billion, while costs fell slightly.",
    "Ünïcödé café naïve Ångström Łódź Đặng İstanbul ΑΣ ΌΣΟΣ Straße",
    "e\u0301 a\u030a n\u0303: the same letters, written with combining marks",
    "Tiếng Việt rất đẹp, nhưng khó học.",
    "我喜欢学习人工智能。東京は日本の首都です。",
    "がぎぐげご パピプペポ ｶﾞｷﾞ",
    "안녕하세요 세계, 대한민국의 수도는 서울입니다.",
    "नमस्ते दुनिया, यह हिन्दी भाषा है।",
    "தமிழ் மொழி மிகவும் பழமையானது",
    "สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่าง",
    "مَرْحَبًا بالعالم، כתב עִבְרִית",
    "Привет, мир! Ёлка и йод.",
    "I love 🍕 and 👩‍👩‍👧‍👦 fun🙂day ❤️ 🇩🇪",
    "def area(r: float) -> float:\n\treturn math.pi * r ** 2  # r >= 0 && r != NaN",
    'SELECT name, COUNT(*) FROM "users" WHERE id IN (1, 2, 3) GROUP BY name;',
    "https://example.org/a/b?c=d&e=f%20g#h  C:\\Users\\me\\file.txt  ../../etc",
    "zero\u200bwidth\u200djoiner soft\u00adhyphen no\u00a0break \u3000 ideographic\ufeffmark",
    "null\x00 bell\x07 escape\x1b[31m next\u2028line replaced\ufffdcharacter",
    "ＡＢＣ１２３ ﬁne ½ ² ™ № “quotes” — em … ‹x› «y» ¿qué? €¥",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "a" * 100,
    "pneumonoultramicroscopicsilicovolcanoconiosis" * 3 + " is one word of 135 letters",
    "x" * 199,
    "!" * 200,
    "the quick brown fox " * 63 + "jumps !",
]


class Reference:
    def __init__(self, folder: Path) -> None:
        raw = (folder / "model.safetensors").read_bytes()
        self.sha256 = hashlib.sha256(raw).hexdigest()
        loaded: dict[str, Any] = importlib.import_module("safetensors.numpy").load(raw)
        self.weights = {name.removeprefix("bert."): value for name, value in loaded.items()}
        self.tokenizer: Any = importlib.import_module("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def embed(self, ids: list[int]) -> Floats:
        """float32 [384], length 1."""
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        places = self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        kinds = self.weights["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(words + places + kinds, "embeddings.LayerNorm")
        n_layers = 1 + max(int(name.split(".")[2]) for name in self.weights if name.startswith("encoder.layer."))
        for layer in range(n_layers):
            x = self._layer(x, f"encoder.layer.{layer}.")
        mean = x.mean(axis=0)
        vector: Floats = mean / np.linalg.norm(mean)
        return vector

    def _layer(self, x: Floats, name: str) -> Floats:
        n, width = x.shape
        heads = [
            self._linear(x, f"{name}attention.self.{part}").reshape(n, N_HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        ]
        query, key, value = heads
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(width // N_HEADS))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        read = (scores @ value).transpose(1, 0, 2).reshape(n, width)
        x = self._norm(self._linear(read, name + "attention.output.dense") + x, name + "attention.output.LayerNorm")
        hidden = self._linear(x, name + "intermediate.dense")
        hidden = (0.5 * hidden * (1 + _erf(hidden / math.sqrt(2)))).astype(np.float32)
        return self._norm(self._linear(hidden, name + "output.dense") + x, name + "output.LayerNorm")

    def _linear(self, x: Floats, name: str) -> Floats:
        y: Floats = x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]
        return y

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
        y: Floats = scaled * self.weights[name + ".weight"] + self.weights[name + ".bias"]
        return y


def _erf(x: Floats) -> NDArray[np.float64]:
    """math.erf over an array."""
    return np.array([math.erf(value) for value in x.ravel().tolist()]).reshape(x.shape)


def main() -> None:
    reference = Reference(Path(sys.argv[1]))
    ids = [reference.tokenizer.encode(text).ids for text in TEXTS]
    vectors = np.stack([reference.embed(tokens) for tokens in ids])
    packed = np.round(vectors * 32767).astype("<i2").tobytes()
    table = {
        "weights_sha256": reference.sha256,
        "texts": TEXTS,
        "ids": ids,
        "vectors_i16_times_32767": base64.b64encode(packed).decode("ascii"),
    }
    json.dump(table, sys.stdout)
    print()


if __name__ == "__main__":
    main()
