"""A model in an MLX folder: its weights on the device, its tokenizer, and blocks of tokens through its layers."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from secondme.errors import ModelError, OutOfMemory
from secondme.runtime.base import ModelInfo
from secondme.runtime.kv import KvShape, Rope
from secondme.runtime.mlx_cache import LayerCache, Watch, attention
from secondme.runtime.mlx_folder import MlxFolder, read_folder
from secondme.runtime.mlx_lib import architecture, core, nn, on_metal, on_worker
from secondme.runtime.mlx_tokenizer import MlxTokenizer
from secondme.runtime.room import check_memory
from secondme.runtime.template import ChatTemplate

_HINT = "fetch the model again, or choose another one"


@dataclass(frozen=True, slots=True)
class MlxOptions:
    """How to load a model.

    n_ctx: context length; 0 means what the model was trained for, at most DEFAULT_N_CTX, within memory.
    name: shown to the owner; empty means the folder's name.
    fingerprint: sha256 (hex) of the weights where it is known; otherwise it is computed.
    n_batch: tokens of a block, between two progress events; 0 means what suits the device.
    dense: expand the quantized weights to float32 once, which is the same model: a CPU multiplies those many times
        faster, and they take up to eight times the memory.
    """

    n_ctx: int = 0
    name: str = ""
    fingerprint: str = ""
    n_batch: int = 0
    dense: bool = False


class MlxModel:
    """Raises ModelError for a folder that cannot be loaded, OutOfMemory, BackendUnavailable.

    `evaluate` and `new_caches` are called on MLX's thread; all else anywhere.
    """

    def __init__(self, path: Path, options: MlxOptions) -> None:
        core()
        self.folder = folder = read_folder(path)
        self.name = options.name or folder.name
        self.tokenizer = MlxTokenizer(folder)
        self.fingerprint = options.fingerprint or _fingerprint(folder)
        self.config = folder.config
        check_memory(_size_in_memory(folder, dense=options.dense), self.name)
        self._module: Any = on_worker(lambda: _load(folder, dense=options.dense))
        self.dtype = self._module.model.norm.weight.dtype
        self._template: ChatTemplate | None = None

    @property
    def n_ctx_train(self) -> int:
        return int(self.config.get("max_position_embeddings") or 0)

    @property
    def n_vocab(self) -> int:
        return int(self.config["vocab_size"])

    def info(self, n_ctx: int) -> ModelInfo:
        return ModelInfo(
            name=self.name,
            fingerprint=self.fingerprint,
            backend="mlx",
            n_ctx=n_ctx,
            n_ctx_train=self.n_ctx_train,
            n_vocab=self.n_vocab,
            kv_bytes_per_token=self.kv_bytes_per_token,
            n_params=_n_params(self.folder),
            device="gpu" if on_metal() else "cpu",
        )

    @property
    def shape(self) -> KvShape:
        """By the config; whether all layers are so is for who takes their caches apart."""
        config = self.config
        n_heads = int(config["num_attention_heads"])
        dim = int(config.get("head_dim") or config["hidden_size"] // n_heads)
        return KvShape(
            int(config["num_hidden_layers"]), int(config.get("num_key_value_heads") or n_heads), n_heads, dim, dim
        )

    @property
    def kv_bytes_per_token(self) -> int:
        """In the type it computes in: float32 on a CPU."""
        return self.shape.f16_bytes_per_token // 2 * int(self.dtype.size)

    @property
    def rope(self) -> Rope:
        """As the model's own rotation; in the order of dimensions that the file has which the weights come from."""
        config, shape, origin = self.config, self.shape, self.folder.origin
        scaling = config.get("rope_scaling") or {}
        kind = scaling.get("rope_type") or scaling.get("type") or "default"
        scale = 1.0 / float(scaling["factor"]) if kind == "linear" and scaling.get("factor") else 1.0
        n_dims = int(shape.k_dim * float(config.get("partial_rotary_factor") or 1.0))
        base = float(config.get("rope_theta") or 10000.0)
        factors = origin.rope_factors if origin else ()
        known = kind in ("default", "linear") or (kind == "llama3" and len(factors) == n_dims // 2)
        movable = known and not config.get("no_rope_layers")
        pairs = origin.rope_pairs if origin else "halves"
        return Rope(pairs, n_dims, base, scale, factors if movable else (), movable=movable)

    @property
    def is_plain(self) -> bool:
        """Whether every layer keeps all keys and values, so that tokens can be dropped and caches taken apart."""
        kinds = self.config.get("layer_types") or ()
        return (
            not self.config.get("sliding_window")
            and self.config["model_type"] != "gemma3_text"
            and all(kind == "full_attention" for kind in kinds)
        )

    def template(self) -> ChatTemplate:
        """Raises ModelError if there is none, as in base models."""
        if self._template is None:
            source, tokenizer = self.tokenizer.chat_template, self.tokenizer
            if not source.strip():
                raise ModelError(
                    f"{self.name} has no chat template",
                    hint="choose a model made for conversation (instruct or chat): secondme models list",
                )
            self._template = ChatTemplate(
                source,
                bos=tokenizer.token_text(tokenizer.special_token("bos")),
                eos=tokenizer.token_text(tokenizer.special_token("eos")),
                control_names=tokenizer.vocabulary(control=True),
            )
        return self._template

    def new_caches(self, watch: Watch) -> list[Any]:
        """One for each layer: LayerCaches, or mlx-lm's own where the model is not plain."""
        if self.is_plain:
            return [LayerCache(watch) for _ in range(self.shape.n_layers)]
        made: list[Any] = self._module.make_cache()
        return made

    def evaluate(self, tokens: Sequence[int], caches: list[Any], n_outputs: int) -> Any:
        """Append `tokens` to `caches`; the logits of the last `n_outputs`, [n_outputs, n_vocab], yet to be evaluated.

        The head is not computed for tokens before them: nothing asks for what it would give. Without any it gives None.
        """
        mx = core()
        ids = mx.array([list(tokens)])
        n_before = ids.shape[1] - n_outputs
        if n_before > 0:
            self._module(ids[:, :n_before], cache=caches)
        return self._module(ids[:, n_before:], cache=caches)[0] if n_outputs else None

    def step(self, token: Any, caches: list[Any]) -> Any:
        """The same for one token that may itself be yet to be evaluated, an array [1]."""
        return self._module(token[None], cache=caches)[0]

    def array(self, numbers: Any) -> Any:
        """A NumPy array as one of the type the model computes in."""
        return core().array(numbers).astype(self.dtype)

    def close(self) -> None:
        def free() -> None:
            self._module = None
            core().clear_cache()

        on_worker(free)


def _fingerprint(folder: MlxFolder) -> str:
    if folder.origin is not None:
        return folder.origin.weights
    digest = hashlib.sha256()
    for path in folder.weight_files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").hexdigest().encode())
    return digest.hexdigest()


def _n_params(folder: MlxFolder) -> int:
    """Numbers in all weights; those of a packed matrix by its bits."""
    n = 0
    for name, place in folder.tensors.items():
        module, _, part = name.rpartition(".")
        if part in ("scales", "biases"):
            continue
        packing = folder.packing(module) if part == "weight" else None
        n += math.prod(place.shape) * 32 // packing.bits if packing else math.prod(place.shape)
    return n


def _size_in_memory(folder: MlxFolder, *, dense: bool) -> int:
    return 4 * _n_params(folder) if dense else folder.size_bytes


def _load(folder: MlxFolder, *, dense: bool) -> Any:
    mx, module = core(), architecture(str(folder.config["model_type"]))
    try:
        model = module.Model(module.ModelArgs.from_dict(folder.config))
        weights: dict[str, Any] = {}
        for path in folder.weight_files:
            weights |= mx.load(str(path), format="safetensors")
        if hasattr(model, "sanitize"):
            weights = model.sanitize(weights)
        _quantize(model, folder)
        is_mixed = folder.origin is not None
        model.load_weights([(name, _cast(array, is_mixed)) for name, array in weights.items()], strict=True)
        model.eval()
        if dense:
            _expand(model)
        mx.eval(model.parameters())
    except MemoryError as error:
        raise OutOfMemory(f"{folder.name} does not fit into memory", hint="choose a smaller model") from error
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise ModelError(f"the weights of {folder.name} do not fit its config.json", hint=_HINT) from error
    home: Any = sys.modules[type(model.layers[0].self_attn).__module__]  # SmolLM3's layers are Llama's
    plain = home.scaled_dot_product_attention
    if not getattr(plain, "secondme", False):
        home.scaled_dot_product_attention = attention(plain)
    return model


def _cast(array: Any, is_mixed: bool) -> Any:
    """In the type that is computed in: a CPU is forty times as fast in float32 as in 16 bits.

    A GGUF file's norms are float32 and its scales float16. On Metal such a mixture would be computed in float32, the
    scales cast in every product and the cache twice as large; in bfloat16, as models are trained, nothing overflows.
    """
    mx = core()
    if not mx.issubdtype(array.dtype, mx.floating) or (on_metal() and not is_mixed):
        return array
    return array.astype(mx.bfloat16 if on_metal() else mx.float32)


def _quantize(model: Any, folder: MlxFolder) -> None:
    """Put quantized layers where the folder's weights are packed."""
    if folder.quantization is None:
        return

    def of(path: str, layer: Any) -> bool | dict[str, Any]:
        packing = folder.packing(path) if hasattr(layer, "to_quantized") else None
        return False if packing is None else asdict(packing)

    nn().quantize(model, class_predicate=of)


def _expand(model: Any) -> None:
    """Plain matrices in place of quantized ones."""
    from mlx.utils import tree_unflatten

    mlx_nn, mx, found = nn(), core(), []
    for path, layer in model.named_modules():
        if not isinstance(layer, mlx_nn.QuantizedLinear | mlx_nn.QuantizedEmbedding):
            continue
        weight = mx.dequantize(
            layer.weight, layer.scales, layer.get("biases"), layer.group_size, layer.bits, mode=layer.mode
        )
        if isinstance(layer, mlx_nn.QuantizedEmbedding):
            plain = mlx_nn.Embedding(1, 1)
        else:
            plain = mlx_nn.Linear(1, 1, bias="bias" in layer)
            if "bias" in layer:
                plain.bias = layer.bias
        plain.weight = weight
        found.append((path, plain))
    model.update_modules(tree_unflatten(found))
