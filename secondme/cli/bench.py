"""`secondme bench`: prints rows; never a verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli import bench_recall
from secondme.cli.output import add_backend, settings
from secondme.errors import UsageError

if TYPE_CHECKING:
    from secondme.bench.cartridges import Options as CartridgeOptions
    from secondme.bench.rows import Row
    from secondme.bench.vectors import Options
    from secondme.config import Config

NAMES = ("startup", "runtime", "ingest", "store", "recall", "vectors", "cartridges")
NEED_DATA = frozenset({"recall", "cartridges"})


def register(verbs: Any) -> None:
    parser = verbs.add_parser("bench", help="measure speed and size; prints rows")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)} (default: all that need no data)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a row")
    parser.add_argument("--quick", action="store_true", help="few and small runs: shows that it works, proves nothing")
    parser.add_argument("--seed", default="proof", metavar="WORD", help="of what is made by chance (default: proof)")
    parser.add_argument("--xquad", type=Path, metavar="FILE", help="paragraphs with questions, as in XQuAD")
    parser.add_argument(
        "--peer", type=Path, action="append", default=[], metavar="PROGRAM", help="startup: time its --help as well"
    )
    add_backend(parser)
    _register_vectors(parser.add_argument_group("vectors"))
    bench_recall.register(parser.add_argument_group("recall"))
    _register_cartridges(parser.add_argument_group("cartridges, with --xquad and --seed"))


def _register_vectors(group: Any) -> None:
    group.add_argument("--rows", type=int, metavar="N", help="vectors to search (default: 100000)")
    group.add_argument("--dims", type=int, metavar="D", help="their dimensions (default: 384)")
    group.add_argument("--k", type=int, default=10, metavar="K", help="nearest ones wanted (default: 10)")
    group.add_argument(
        "--isa", metavar="NAME", help="kernels to measure, without a store (default: the best that run here)"
    )
    group.add_argument(
        "--peers",
        nargs="?",
        const="all",
        default="",
        metavar="A,B",
        help="compare with other libraries, all or those named; make bench PEERS=1 installs them; for cartridges with"
        " methods of kvpress, those commonly compared or those named, from make bench PEERS=kvpress; for recall, over"
        " --locomo, with bm25s, dense, rrf and mem0, from make bench PEERS=mem0; for runtime under MLX with mlx-lm,"
        " from make bench PEERS=mlx-lm",
    )
    group.add_argument(
        "--texts",
        type=Path,
        metavar="DIR",
        help="folder of texts to measure recall on (default: the documentation in Python's library); public ones only:"
        " their embeddings are kept in the cache folder as they are; for runtime under MLX what both runtimes read",
    )
    group.add_argument(
        "--passages", type=int, metavar="N", help="passages of them (default: 1 in 50 rows, at most 4000)"
    )


def _register_cartridges(group: Any) -> None:
    group.add_argument("--kv75", type=Path, metavar="FILE", help="records of key-value retrieval, a JSON object a line")
    group.add_argument("--tiers", default="", metavar="T0,T1", help="only these (default: T0,T1,T2,T3)")
    group.add_argument("--documents", type=int, default=0, metavar="N", help="only N documents, and two composed")
    group.add_argument("--tokens", type=int, default=0, metavar="N", help="about N tokens of each at most")
    group.add_argument(
        "--cross",
        action="store_true",
        help="cartridges that the other runtime built, opened under --backend, beside its own",
    )
    group.add_argument("--peer-documents", type=int, default=0, metavar="N", help="peers read only the first N of them")


def run(args: argparse.Namespace) -> int:
    names = args.names or [n for n in NAMES if n not in NEED_DATA]
    for name in names:
        if name not in NAMES:
            raise UsageError(f"there is no benchmark {name}", hint=f"there are: {', '.join(NAMES)}")
    if "recall" in names:
        bench_recall.options(args)
    if "cartridges" in names:
        _cartridges(args)
    options = _vectors(args) if "vectors" in names else None
    for name in names:
        for row in _rows(name, args, options):
            print(row.as_json() if args.json else row.as_text(), flush=True)
    return 0


def _vectors(args: argparse.Namespace) -> Options:
    """Checked before anything is measured, and before NumPy comes with threads of its own."""
    from secondme.bench.vectors import Options, checked

    small = Options(n_rows=2000, n_dims=64) if args.quick else Options()
    options = Options(
        n_rows=small.n_rows if args.rows is None else args.rows,
        n_dims=small.n_dims if args.dims is None else args.dims,
        k=args.k,
        isa=args.isa,
        peers=args.peers,
        texts=args.texts,
        n_passages=args.passages,
    )
    return checked(options)


def _cartridges(args: argparse.Namespace) -> CartridgeOptions:
    from secondme.bench.cartridges import Options, checked

    if args.xquad is None:
        raise UsageError("cartridges are measured on data that you bring", hint="name a file: --xquad FILE")
    small = args.quick and not (args.documents or args.tokens)
    return checked(
        Options(
            xquad=args.xquad,
            kv75=args.kv75,
            tiers=args.tiers,
            n_documents=1 if small else args.documents,
            n_tokens=400 if small else args.tokens,
            seed=args.seed,
            peers=args.peers,
            n_peer_documents=args.peer_documents,
        )
    )


def _runtime(args: argparse.Namespace, config: Config) -> Iterator[Row]:
    from secondme.bench import models

    quick: bool = args.quick
    if models.uses_mlx(config):
        from secondme.bench import mlx

        folder, gguf = models.mlx_folder(config)
        options = mlx.Options(folder, gguf, texts=args.texts, peers=bool(args.peers))
        yield from mlx.run(mlx.quick(options) if quick else options, _say)
        return
    from secondme.bench import runtime
    from secondme.runtime.catalog import resolve
    from secondme.runtime.threads import usable_cores

    n, n_prompt, n_decode = (1, 32, 8) if quick else (5, 512, 128)
    path = resolve(config.model).path
    yield from runtime.run(path, n=n, n_prompt=n_prompt, n_decode=n_decode, threads=usable_cores())


def _cartridge_rows(args: argparse.Namespace, config: Config) -> Iterator[Row]:
    from secondme.bench import cartridges, models
    from secondme.runtime.load import load_embedder

    options = _cartridges(args)
    if models.is_expanded(config):
        options = replace(options, note=models.EXPANDED)
    load = partial(models.load_measured, config, say=_say)
    if args.cross:
        other = partial(models.load_measured, models.other_backend(config), say=_say)
        yield from cartridges.run_cross(options, load, other, say=_say)
        return
    embedder = partial(load_embedder, config) if args.answers else None
    yield from cartridges.run(options, load, say=_say, embedder=embedder)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _rows(name: str, args: argparse.Namespace, options: Options | None) -> Iterator[Row]:
    from secondme.runtime.load import load_embedder, load_generator

    quick: bool = args.quick
    config = settings(args)
    if name == "startup":
        from secondme.bench import startup

        yield from startup.run(2 if quick else 15, args.peer)
    elif name == "runtime":
        yield from _runtime(args, config)
    elif name == "ingest":
        from secondme.bench import ingest
        from secondme.runtime.catalog import resolve

        yield from ingest.run(load_embedder(config), n_files=1 if quick else 40, n_unchanged=50 if quick else 2000)
        yield ingest.rss(resolve(config.model).path, resolve(config.embedder).path, n_chunks=100 if quick else 10_000)
    elif name == "store":
        from secondme.bench import store

        yield from store.run(store.QUICK if quick else store.SIZES)
    elif name == "cartridges":
        yield from _cartridge_rows(args, config)
    elif name == "vectors" and options is not None:
        from secondme.bench import vectors

        yield from vectors.run(options, lambda: load_embedder(config))
    else:
        from secondme.bench import recall

        chosen = bench_recall.options(args)
        generator = load_generator(config, say=_say) if chosen.answers else None
        yield from recall.run(recall.Tools(load_embedder(config), chosen, _say, generator))
