"""The child process: runs under the Python of the peers' environment, which has torch, transformers and kvpress.

    python -c "...; main([folder])"    reads folder/request.json, appends to folder/answers.jsonl, progress to stdout

The model is the program's own GGUF file, dequantized to float32. The reference is this process's own full cache, so
that a difference between runtimes is no press's fault. Needs no network.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondme.bench.cartridges.peers.exchange import KEPT_ALL, Answer, Case, Request, add_answer, read_request

_MOST_OF_ALL = 5.0
"""Four bits a value are never this many times smaller than f16, however they are coded."""

_QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TQDM_DISABLE": "1"}


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    request = read_request(folder)
    os.environ.update(_QUIET, OMP_NUM_THREADS=str(request.threads))
    logging.disable(logging.WARNING)  # presses say at length that they take their time
    with tempfile.TemporaryDirectory() as tokenizer_folder:
        _run(folder, request, tokenizer_folder)
    return 0


def _run(folder: Path, request: Request, tokenizer_folder: str) -> None:
    import torch

    torch.set_num_threads(request.threads)
    torch.set_grad_enabled(False)
    _say("loading the model")
    model = _load(Path(request.model), tokenizer_folder)
    from secondme.bench.cartridges.peers.presses import choosers

    known = choosers(model, tokenizer_folder)
    learnt = Learnt({}, {})
    for i, case in enumerate(request.cases):
        started = time.monotonic()
        desk = Desk(model, case, i, folder)
        desk.keep_all()
        for name in request.presses:
            _say(f"document {i + 1} of {len(request.cases)}: {name}, {time.monotonic() - started:.0f} s")
            desk.judge(name, known[name], learnt)
        _say(f"document {i + 1} of {len(request.cases)}: {time.monotonic() - started:.0f} s")


def _say(line: str) -> None:
    print(line, flush=True)


def _load(path: Path, tokenizer_folder: str) -> Any:
    """The GGUF file as a float32 model; its tokenizer goes to the folder."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    named = {"gguf_file": path.name}
    transformers.AutoTokenizer.from_pretrained(str(path.parent), **named).save_pretrained(tokenizer_folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=torch.float32, **named)
    # A tokenizer's folder without this file is taken for a model that is to be fetched.
    model.config.save_pretrained(tokenizer_folder)
    return model.eval()


@dataclass(frozen=True, slots=True)
class Learnt:
    """From earlier documents and tiers. quantizer: of a press, the better one at the first tier of the first document.
    share: of a tier and quantizer, the rows that fitted last, where the next search begins."""

    quantizer: dict[str, str]
    share: dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Fit:
    """keep: what stays in each layer; share: what the press was asked for; kept: what it made of that; ratio: times
    smaller than f16, by ideal bytes."""

    keep: list[Any]
    share: float
    kept: float
    ratio: float


class Desk:
    """One document, read once, with its reference."""

    def __init__(self, model: Any, case: Case, number: int, folder: Path) -> None:
        import torch

        from secondme.bench.cartridges.peers import ask
        from secondme.bench.cartridges.peers.presses import read
        from secondme.bench.cartridges.peers.quantize import QUANTIZERS, quantize

        self._model, self._case, self._number, self._folder = model, case, number, folder
        self._cache = read(model, torch.tensor([[*case.prefix, *case.tokens]]), len(case.prefix))
        self._sheet = ask.sheet(case.questions, len(case.prefix) + len(case.tokens))
        n_prefix = len(case.prefix)
        self._quantized = {
            name: [
                tuple(quantize(x[0, :, n_prefix:], name) for x in pair)
                for pair in zip(self._cache.keys, self._cache.values, strict=True)
            ]
            for name in QUANTIZERS
        }
        full = [ask.Rows(k, v, None) for k, v in zip(self._cache.keys, self._cache.values, strict=True)]
        self._full = ask.log_probs(model, full, self._sheet)
        self._add("", "", "", 1.0, 1.0, self._full)
        self._roomy: set[str] = set()

    def keep_all(self) -> None:
        """The tiers whose bytes hold the whole document at four bits: there no press has anything to drop."""
        import torch

        from secondme.bench.cartridges.peers import ask

        keep = [torch.ones(k.shape[1:3], dtype=torch.bool) for k in self._cache.keys]
        tried = []
        for quantizer in self._quantized if min(self._case.ratios.values()) < _MOST_OF_ALL else ():
            fit = self._fit(lambda _share: keep, quantizer, 1.0, 1.0)
            logs = ask.log_probs(self._model, self._rows(keep, quantizer), self._sheet)
            tried.append((sum(ask.kl_sums(self._full, logs, self._sheet)), quantizer, fit, logs))
        for tier, ratio in self._case.ratios.items():
            if fitting := [one for one in tried if one[2].ratio >= ratio]:
                _, quantizer, fit, logs = min(fitting, key=lambda x: x[0])
                self._add(KEPT_ALL, tier, quantizer, fit.ratio, 1.0, logs)
                self._roomy.add(tier)

    def judge(self, name: str, chooser: Any, learnt: Learnt) -> None:
        """Every tier under one press."""
        from secondme.bench.cartridges.peers import ask

        choose = chooser(self._cache)
        for tier, ratio in self._case.ratios.items():
            if tier in self._roomy:
                continue
            tried = []
            for quantizer in [learnt.quantizer[name]] if name in learnt.quantizer else self._quantized:
                start = learnt.share.get((tier, quantizer), min(1.0, 16 / ratio / 4))
                fit = self._fit(choose, quantizer, ratio, start)
                learnt.share[tier, quantizer] = fit.share
                logs = ask.log_probs(self._model, self._rows(fit.keep, quantizer), self._sheet)
                tried.append((sum(ask.kl_sums(self._full, logs, self._sheet)), quantizer, fit, logs))
            _, quantizer, fit, logs = min(tried, key=lambda x: x[0])
            learnt.quantizer[name] = quantizer
            self._add(name, tier, quantizer, fit.ratio, fit.kept, logs)

    def _fit(self, choose: Any, quantizer: str, ratio: float, share: float) -> Fit:
        """As many rows as the bytes allow, within half a percent; the search begins with `share`."""
        from secondme.bench.cartridges.peers.quantize import ideal_bits, index_bits

        n_prefix, pairs = self._cache.n_prefix, self._quantized[quantizer]
        n_values = sum(side.values.numel() for pair in pairs for side in pair)
        budget = 16 * n_values / ratio
        for _ in range(6):
            keep = choose(share)
            document = [k[:, n_prefix:] for k in keep]
            bits = sum(index_bits(k) for k in document)
            bits += sum(ideal_bits(side, k) for pair, k in zip(pairs, document, strict=True) for side in pair)
            wanted = min(1.0, share * budget / bits)
            if abs(wanted / share - 1) < 0.005:
                break
            share = wanted
        kept = sum(int(k.sum()) for k in document) / sum(k.numel() for k in document)
        return Fit(keep, share, kept, 16 * n_values / bits)

    def _rows(self, keep: list[Any], quantizer: str) -> list[Any]:
        """Each layer's kept rows, the document's quantized, the prefix's as they are."""
        import torch

        from secondme.bench.cartridges.peers.ask import Rows

        rows, n_prefix = [], self._cache.n_prefix
        for layer, (kept, pair) in enumerate(zip(keep, self._quantized[quantizer], strict=True)):
            counts = kept.sum(1)
            most = int(counts.max())
            index = kept.byte().argsort(dim=1, descending=True, stable=True)[:, :most, None]
            sides = []
            for exact, side in zip((self._cache.keys[layer], self._cache.values[layer]), pair, strict=True):
                whole = torch.cat((exact[0, :, :n_prefix], side.values), 1)
                sides.append(whole.gather(1, index.expand(-1, -1, whole.shape[2]))[None])
            missing = torch.arange(most)[None] >= counts[:, None]
            bias = torch.where(missing, -torch.inf, 0.0) if bool(missing.any()) else None
            rows.append(Rows(sides[0], sides[1], bias))
        return rows

    def _add(self, press: str, tier: str, quantizer: str, ratio: float, kept: float, logs: Any) -> None:
        from secondme.bench.cartridges.peers import ask

        kl = tuple(ask.kl_sums(self._full, logs, self._sheet))
        hits = tuple(ask.all_likeliest(logs, self._sheet))
        add_answer(self._folder, Answer(self._number, press, tier, quantizer, ratio, kept, kl, hits))
