"""What a cartridge says of itself, and every check on it: a Manifest that exists has only values that make sense.

After the seal is found whole a manifest is still held for hostile, because what it says becomes sizes of arrays in the
decoders and in the runtime's loader. So there is one way to write each (canonical JSON: keys in order, no spaces,
shortest floats), no key is missing or one too many, and every number has a bound.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from secondme.errors import CartridgeIncompatible, CartridgeStale, CorruptCartridge
from secondme.runtime.kv import KvIdentity, KvShape, Rope, RopePairs

FORMAT = 1
WHOLE = -1
"""The layer of a section that belongs to no layer."""
TOKENS = "tokens"
"""The section of the token ids, int32 little endian; it is the first one."""
TIERS = ("T0", "T1", "T2", "T3")

MAX_MANIFEST_BYTES = 1 << 20
MAX_SECTIONS = 4096
MAX_SECTION_BYTES = 1 << 31
MAX_LAYERS = 512
MAX_HEADS = 1024
MAX_DIM = 1024
MAX_TOKENS = 1 << 20
MAX_POSITION = 1 << 24
_SLACK_BYTES = 1 << 20
"""What a layer may take beside its keys and values as float32: tables, choices of tokens."""

_HEX = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,15}")
_LINE = re.compile(r"[\x20-\x7e]{1,256}")
_DTYPES = ("f16", "q8_0")
_REMEDY = "nothing is lost: the document's text is read instead, and the cartridge is made again"

Tier = Literal["T0", "T1", "T2", "T3"]


@dataclass(frozen=True, slots=True)
class Section:
    """A run of bytes in the file: `kind` names it among those of its layer, `digest` is its SHA-256 (32 bytes)."""

    kind: str
    layer: int
    size_bytes: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a cartridge holds. Raises ValueError for values that no cartridge has; hashes are sha256 (hex).

    source_hash: of the text that was read, `Store.document_hash`. prefix_hash: of the token ids it was read after.
    tokens_hash: of its own token ids. start: position of its first token when it was read. n_tokens: the document's
    tokens in it, all of them where `complete`, else its first ones. calibration: of the transforms and tables it is
    coded with; empty where it needs none. codec: version of the coding.
    """

    identity: KvIdentity
    source_hash: str
    prefix_hash: str
    tokens_hash: str
    n_tokens: int
    start: int
    tier: Tier
    codec: int
    calibration: str
    complete: bool
    sections: tuple[Section, ...] = ()

    def __post_init__(self) -> None:
        _check_identity(self.identity)
        _demand(all(_is_hash(h) for h in (self.source_hash, self.prefix_hash, self.tokens_hash)), "hash")
        _demand(_is_int(self.n_tokens, 1, MAX_TOKENS) and _is_int(self.start, 0, MAX_POSITION), "position")
        _demand(self.tier in TIERS and _is_int(self.codec, 1, 0xFFFF), "tier")
        _demand(self.calibration == "" or _is_hash(self.calibration), "calibration")
        _demand(isinstance(self.complete, bool), "complete")
        _check_sections(self)

    @property
    def f16_bytes(self) -> int:
        return self.n_tokens * self.identity.shape.f16_bytes_per_token

    @property
    def model_key(self) -> bytes:
        """See `model_key`."""
        return model_key(self.identity, self.prefix_hash, self.calibration)


def hash_of_tokens(tokens: Sequence[int]) -> str:
    """sha256 (hex) of token ids as little-endian int32."""
    return hashlib.sha256(pack_tokens(tokens)).hexdigest()


def pack_tokens(tokens: Sequence[int]) -> bytes:
    """Token ids as the section of that name holds them. Raises ValueError for one that is none."""
    import numpy as np

    ids = np.asarray(tokens, np.int64)
    if ids.ndim != 1 or (ids < 0).any() or (ids >= 1 << 31).any():
        raise ValueError("token ids")
    return ids.astype("<i4").tobytes()


def model_key(identity: KvIdentity, prefix_hash: str, calibration: str) -> bytes:
    """32 bytes that are equal where a cartridge of the same text is of use: model, prefix, tables.

    The runtime does not count: what a cartridge holds is the same for all that run the same weights.
    """
    model = {name: value for name, value in _identity_out(identity).items() if name in _NAMES}
    return hashlib.sha256(_json([model, prefix_hash, calibration])).digest()


# Comparing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expected:
    """What a cartridge must have been made for; hashes as in Manifest. n_ctx: positions there are, prefix and all.

    identity: of the runtime at hand. The one a cartridge was made by may be another, and hold its cells otherwise.

    tokens_hash: of the document's token ids, or None where they are not at hand. calibration: the one at hand, or None.
    """

    identity: KvIdentity
    source_hash: str
    prefix_hash: str
    tokens_hash: str | None = None
    calibration: str | None = None
    n_ctx: int = MAX_POSITION


_NAMES: Mapping[str, str] = {
    "weights": "another model, or another quantization of it",
    "tokenizer": "a model with another tokenizer",
    "template": "another chat template",
    "shape": "a model of another shape",
    "rope": "a model with other position settings",
}
"""What must be equal of a KvIdentity. The rest says how a runtime held what it made, and binds no other: what is
decoded of T0 says whether it is rotated, and T1 to T3 hold rows before RoPE and before any rotation.
"""


def check_manifest(manifest: Manifest, expected: Expected) -> None:
    """Raises CartridgeIncompatible or CartridgeStale, whose message says which of them differs."""
    for name, words in _NAMES.items():
        if getattr(manifest.identity, name) != getattr(expected.identity, name):
            raise _incompatible(f"was made for {words}")
    if manifest.prefix_hash != expected.prefix_hash:
        raise _incompatible("was read after other instructions than those in use")
    if manifest.calibration and manifest.calibration != expected.calibration:
        missing = "which is not installed" if expected.calibration is None else "and there is a newer one"
        raise _incompatible(f"was coded with another calibration of the model, {missing}")
    if manifest.n_tokens > expected.n_ctx:
        raise _incompatible("holds more tokens than the context has room for")
    whole = manifest.complete and expected.tokens_hash is not None
    if manifest.source_hash != expected.source_hash or (whole and manifest.tokens_hash != expected.tokens_hash):
        raise CartridgeStale("the document has changed since its cartridge was made", hint=_REMEDY)


def _incompatible(what: str) -> CartridgeIncompatible:
    return CartridgeIncompatible(f"the cartridge {what}", hint=_REMEDY)


# To JSON and back ----------------------------------------------------------------------------------------------


def pack(manifest: Manifest) -> bytes:
    """Canonical JSON. Raises ValueError where it would be longer than a reader accepts."""
    out = {name: getattr(manifest, name) for name in _PLAIN}
    out |= {
        "format": FORMAT,
        "identity": _identity_out(manifest.identity),
        "sections": [[s.kind, s.layer, s.size_bytes, _digest_out(s.digest)] for s in manifest.sections],
    }
    packed = _json(out)
    _demand(len(packed) <= MAX_MANIFEST_BYTES, "length")
    return packed


def parse(data: bytes) -> Manifest:
    """The manifest that these bytes spell. Raises CorruptCartridge, and CartridgeIncompatible for a newer format."""
    try:
        _demand(len(data) <= MAX_MANIFEST_BYTES, "length")
        found = json.loads(data.decode("ascii"), parse_constant=_no_constant)
        if isinstance(found, dict) and _is_int(found.get("format"), FORMAT + 1, 0xFFFF):
            raise CartridgeIncompatible("a newer version of secondme wrote the cartridge", hint="update secondme")
        manifest = _manifest(found)
        # One spelling each: this also refuses repeated keys, spaces, other floats of the same value.
        _demand(pack(manifest) == data, "spelling")
    # OverflowError: an int for a float that holds no such number; RecursionError: lists in lists in lists.
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
        raise CorruptCartridge("the cartridge's description of itself cannot be trusted", hint=_REMEDY) from None
    return manifest


_PLAIN = tuple(f.name for f in fields(Manifest) if f.name not in ("identity", "sections"))


def _manifest(found: Any) -> Manifest:
    _demand(isinstance(found, dict) and set(found) == {*_PLAIN, "format", "identity", "sections"}, "keys")
    _demand(_is_int(found["format"], FORMAT, FORMAT), "format")
    _demand(isinstance(found["sections"], list) and len(found["sections"]) <= MAX_SECTIONS, "sections")
    sections = []
    for kind, layer, size_bytes, digest in found["sections"]:
        sections.append(Section(kind, layer, size_bytes, _digest_in(digest)))
    plain = {name: found[name] for name in _PLAIN}
    return Manifest(identity=_identity_in(found["identity"]), sections=tuple(sections), **plain)


def _identity_out(identity: KvIdentity) -> dict[str, Any]:
    rope = identity.rope
    out: dict[str, Any] = {f.name: getattr(identity, f.name) for f in fields(KvIdentity)}
    out["shape"] = {f.name: getattr(identity.shape, f.name) for f in fields(KvShape)}
    out["rope"] = {f.name: getattr(rope, f.name) for f in fields(Rope)}
    out["rope"] |= {"freq_base": float(rope.freq_base), "freq_scale": float(rope.freq_scale)}
    out["rope"]["factors"] = [float(f) for f in rope.factors]
    return out


def _identity_in(found: Any) -> KvIdentity:
    shape, rope = _exactly(found["shape"], KvShape), _exactly(found["rope"], Rope)
    _demand(isinstance(rope["factors"], list) and len(rope["factors"]) <= MAX_DIM, "factors")
    rope["factors"] = tuple(rope["factors"])
    floats = (rope["freq_base"], rope["freq_scale"], *rope["factors"])
    _demand(all(type(f) is float for f in floats), "float")
    return KvIdentity(**_exactly(found, KvIdentity) | {"shape": KvShape(**shape), "rope": Rope(**rope)})


def _exactly(found: Any, kind: type[KvIdentity | KvShape | Rope]) -> dict[str, Any]:
    _demand(isinstance(found, dict) and set(found) == {f.name for f in fields(kind)}, "keys")
    return dict(found)


def _digest_out(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _digest_in(spelled: Any) -> bytes:
    _demand(isinstance(spelled, str) and len(spelled) == 43, "digest")
    return base64.urlsafe_b64decode(spelled + "=")


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _no_constant(name: str) -> float:
    raise ValueError(name)


# Checks --------------------------------------------------------------------------------------------------------


def _demand(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} of a cartridge")


def _is_int(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _is_positive(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 < value <= 1e15  # type: ignore[operator, arg-type]


def _check_identity(identity: KvIdentity) -> None:
    _demand(all(_is_hash(h) for h in (identity.weights, identity.tokenizer, identity.template)), "hash")
    _demand(identity.dtype in _DTYPES and isinstance(identity.rotated, bool), "cells")
    _demand(isinstance(identity.runtime, str) and _LINE.fullmatch(identity.runtime), "runtime")
    _demand(_is_int(identity.state_version, 0, 1 << 31), "state version")
    shape, rope = identity.shape, identity.rope
    _demand(_is_int(shape.n_layers, 1, MAX_LAYERS), "layers")
    _demand(_is_int(shape.n_kv_heads, 1, MAX_HEADS) and _is_int(shape.n_heads, shape.n_kv_heads, MAX_HEADS), "heads")
    _demand(shape.n_heads % shape.n_kv_heads == 0, "heads")
    _demand(_is_int(shape.k_dim, 1, MAX_DIM) and _is_int(shape.v_dim, 1, MAX_DIM), "dimensions")
    _demand(rope.pairs in get_args(RopePairs) and isinstance(rope.movable, bool), "rope")
    _demand(_is_int(rope.n_dims, 0, MAX_DIM), "rope")
    fits = rope.pairs != "none" and 0 < rope.n_dims <= shape.k_dim and rope.n_dims % 2 == 0
    _demand(fits or not rope.movable, "rope")
    _demand(_is_positive(rope.freq_base) and _is_positive(rope.freq_scale), "rope")
    _demand(isinstance(rope.factors, tuple) and len(rope.factors) in (0, rope.n_dims // 2), "rope")
    _demand(all(_is_positive(f) for f in rope.factors), "rope")


def _check_sections(manifest: Manifest) -> None:
    """Each (kind, layer) once, layers in order, none longer than what it could hold uncoded; token ids come first."""
    shape = manifest.identity.shape
    _demand(isinstance(manifest.sections, tuple) and len(manifest.sections) <= MAX_SECTIONS, "sections")
    layer_bytes = 4 * manifest.n_tokens * shape.n_kv_heads * (shape.k_dim + shape.v_dim) + _SLACK_BYTES
    seen: set[tuple[str, int]] = set()
    layer = WHOLE
    for section in manifest.sections:
        _demand(isinstance(section.kind, str) and _KIND.fullmatch(section.kind), "section")
        _demand(_is_int(section.layer, layer, shape.n_layers - 1), "section")
        layer = section.layer
        most = layer_bytes if layer != WHOLE else MAX_SECTION_BYTES
        _demand(_is_int(section.size_bytes, 0, min(most, MAX_SECTION_BYTES)), "section")
        _demand(isinstance(section.digest, bytes) and len(section.digest) == 32, "section")
        _demand((section.kind, layer) not in seen, "section")
        seen.add((section.kind, layer))
    if manifest.sections:
        first = manifest.sections[0]
        _demand((first.kind, first.layer, first.size_bytes) == (TOKENS, WHOLE, 4 * manifest.n_tokens), "tokens")
        _demand(first.digest.hex() == manifest.tokens_hash, "tokens")
