"""kvpress's methods, asked what they keep of one cache; runs in the peers' environment.

A press scores a cache that was read once, as it would after its own prefill, and chooses with its own code. In its
favour, the prefix before the document always stays and costs nothing. Methods that fetch trained parts from a hub are
not here, because there are none for the default model: KVzap, Fast KVzip, LU-KV, RestoreKV, DuoAttention, Q-Filters,
Expected Attention with statistics, DMS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import kvpress
import torch

Keep = list[Any]
"""For each layer bool [heads, n]: which rows stay."""

Chooser = Callable[[float], Keep]
"""From the share of the document's rows that may stay to those that do."""


@dataclass(frozen=True, slots=True)
class Read:
    """A full cache. ids: int64 [1, n]. keys (after RoPE), values: float32 [1, heads, n, D] for each layer. inputs: what
    each layer's attention was called with."""

    ids: Any
    n_prefix: int
    keys: list[Any]
    values: list[Any]
    inputs: list[dict[str, Any]]

    @property
    def n_tokens(self) -> int:
        return int(self.ids.shape[1]) - self.n_prefix


def read(model: Any, ids: Any, n_prefix: int) -> Read:
    """Prefill `ids` and keep what presses look at."""
    from transformers import DynamicCache

    inputs: list[dict[str, Any]] = []

    def note(_module: Any, _args: Any, kwargs: dict[str, Any], _output: Any) -> None:
        inputs.append({name: kwargs[name] for name in ("hidden_states", "position_embeddings")})

    cache = DynamicCache(config=model.config)
    hooks = [layer.self_attn.register_forward_hook(note, with_kwargs=True) for layer in model.model.layers]
    try:
        model.model(input_ids=ids, past_key_values=cache)
    finally:
        for hook in hooks:
            hook.remove()
    return Read(ids, n_prefix, [x.keys for x in cache.layers], [x.values for x in cache.layers], inputs)


def choosers(model: Any, tokenizer_folder: str) -> dict[str, Callable[[Read], Chooser]]:
    """Name to what makes a chooser from a cache."""
    expected, snap = kvpress.ExpectedAttentionPress, kvpress.SnapKVPress
    scorers: dict[str, Callable[[], Any]] = {
        "ExpectedAttention": expected,
        "SnapKV": snap,
        "Knorm": kvpress.KnormPress,
        "TOVA": kvpress.TOVAPress,
        "StreamingLLM": kvpress.StreamingLLMPress,
        "PyramidKV": kvpress.PyramidKVPress,
        "KeyDiff": kvpress.KeyDiffPress,
        "LagKV": kvpress.LagKVPress,
        "CapKV": kvpress.CapPress,
        "Compactor": kvpress.CompactorPress,
        "CriticalKV": lambda: kvpress.CriticalKVPress(expected(use_vnorm=False)),
        "AdaKV+ExpectedAttention": lambda: kvpress.AdaKVPress(expected(epsilon=1e-2)),
        "AdaKV+SnapKV": lambda: kvpress.AdaKVPress(snap()),
        "CriticalAdaKV": lambda: kvpress.CriticalAdaKVPress(expected(use_vnorm=False)),
    }
    repeating: dict[str, Callable[[], Any]] = {
        "KVzip": kvpress.KVzipPress,
        "KVzip-layerwise": lambda: kvpress.KVzipPress(layerwise=True),
        "KVzip+": lambda: kvpress.KVzipPress(kvzip_plus_normalization=True),
        "KVgrad": kvpress.KVgradPress,
    }
    model.config._name_or_path = tokenizer_folder  # KVzip and its kin look for a tokenizer there

    def bound(kind: Callable[[Any, Any, Read], Chooser], make: Callable[[], Any]) -> Callable[[Read], Chooser]:
        return lambda cache: kind(model, make(), cache)

    return {
        "KVCompose": bound(_composing, lambda: kvpress.KVComposePress(structured=False)),
        **{name: bound(_scorer, make) for name, make in scorers.items()},
        **{name: bound(_repeating, make) for name, make in repeating.items()},
    }


def _scorer(model: Any, press: Any, cache: Read) -> Chooser:
    """Presses that look at a layer by itself."""
    press.compression_ratio = 0.5
    press.post_init_from_model(model)
    source = press if isinstance(press, kvpress.ScorerPress) else press.press
    original, latest = source.score, {}

    def score(*args: Any, **kwargs: Any) -> Any:
        scores = original(*args, **kwargs).clone()
        scores[..., : cache.n_prefix] = torch.inf
        latest["scores"] = scores.clone()
        return scores

    source.score = score

    def choose(share: float) -> Keep:
        press.compression_ratio = _compression(cache, share)
        keep = []
        for layer, keys, values, inputs in zip(model.model.layers, cache.keys, cache.values, cache.inputs, strict=True):
            module = layer.self_attn
            module.rotary_emb, module.masked_key_indices = model.model.rotary_emb, None
            kept, _ = press.compress(module, inputs["hidden_states"], keys, values, None, inputs)
            if module.masked_key_indices is not None:
                keep.append(_unmasked(module, keys))
            else:
                rows = latest["scores"].topk(kept.shape[2], dim=-1).indices
                keep.append(torch.zeros(keys.shape[:3], dtype=torch.bool).scatter_(2, rows, True)[0])
        return keep

    return choose


def _repeating(model: Any, press: Any, cache: Read) -> Chooser:
    """KVzip and its kin: they let the model repeat the context, score all layers, and choose at the end."""
    from transformers import DynamicCache

    press.compression_ratio = 0.5
    n_sink, scored = press.n_sink, []
    press.compress_post = lambda _model: scored.append(press.score_val.clone())
    copy = DynamicCache(config=model.config)
    for layer, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
        copy.update(keys.clone(), values.clone(), layer)
    with press(model):
        # The prefill is done: the press is told of its result instead of watching it.
        press.prefix_length, press._context_ids, press._cache = cache.n_prefix, cache.ids, copy
    del press.compress_post
    assert n_sink <= cache.n_prefix

    def choose(share: float) -> Keep:
        press.compression_ratio, press.n_sink = _compression(cache, share), cache.n_prefix
        press.score_val = scored[0].clone()
        press.compress_post(model)
        modules = [layer.self_attn for layer in model.model.layers]
        return [_unmasked(module, keys) for module, keys in zip(modules, cache.keys, strict=True)]

    return choose


def _composing(model: Any, press: Any, cache: Read) -> Chooser:
    """KVCompose, each head by itself: it reads the context twice, all attention weights in sight."""
    from transformers import DynamicCache

    press.prepare_important_masks = press._reset_state = lambda: None
    press.compress_cache = lambda _model: None
    with press(model):
        model.model(input_ids=cache.ids, past_key_values=DynamicCache(config=model.config))
    for name in ("prepare_important_masks", "_reset_state", "compress_cache"):
        delattr(press, name)
    enhance = press.enhance_scores

    def enhance_scores() -> None:
        enhance()
        press.scores[..., : cache.n_prefix] = torch.inf

    press.enhance_scores = enhance_scores

    def choose(share: float) -> Keep:
        press.compression_ratio = _compression(cache, share)
        press.prepare_important_masks()
        press.compress_unstructured(model)
        modules = [layer.self_attn for layer in model.model.layers]
        return [_unmasked(module, keys) for module, keys in zip(modules, cache.keys, strict=True)]

    return choose


def _compression(cache: Read, share: float) -> float:
    n = cache.n_prefix + cache.n_tokens
    # The rounding of n * (1 - ratio) shall not fall below the whole number that is meant.
    return 1 - (cache.n_prefix + max(1, round(share * cache.n_tokens)) + 1e-6) / n


def _unmasked(module: Any, keys: Any) -> Any:
    keep = torch.ones(keys.shape[:3], dtype=torch.bool)
    keep[tuple(torch.as_tensor(x) for x in module.masked_key_indices)] = False
    module.masked_key_indices = None
    return keep[0]
