"""The command line: the functions of scssl on files."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scssl import __version__
from scssl._errors import InputError, ScsslError
from scssl.data.open import SUFFIXES, fits, read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from anndata import AnnData
    from mudata import MuData

    from scssl._types import Json

DEMO_METHODS = ("pca", "untrained", "simclr", "vicreg")
DEMO_SEEDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments
        Words of the command line; those of the process by default.

    Returns
    -------
    int
        0; 1 if the input cannot be used (the reason stands on standard error).
    """
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        command(**options)
    except ScsslError as error:
        sys.stderr.write(f"scssl: {error}\n")
        return 1
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        sys.stderr.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scssl", description="Self-supervised learning for single cells.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = _command(commands, _demo, "the main job on bundled real cells, or on your file: table, figures, report")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    demo.add_argument("--data", type=Path, help="an h5ad file with counts; by default cells that scanpy ships")
    demo.add_argument("--batch-key", default="batch", help="obs column with the batch")
    demo.add_argument("--label-key", default="cell_type", help="obs column with the cell type")
    demo.add_argument("--seeds", type=int, default=DEMO_SEEDS, help="repeats of every method")

    listing = _command(commands, _list, "what exists")
    listing.add_argument(
        "kind", nargs="?", default="methods", choices=("methods", "tasks", "metrics", "views", "datasets")
    )

    check = _command(commands, _check, "all problems of a file at once")
    _data(check)
    check.add_argument("--method", help="check for this method")

    fit = _command(commands, _fit, "train a method and write the embedding into the file's obsm")
    _data(fit)
    fit.add_argument("method", nargs="?", default="simclr")
    fit.add_argument("--out", type=Path, required=True, help="h5ad, h5mu or zarr file to write")
    fit.add_argument("--model", type=Path, help="folder to save the model in")
    _recipe(fit)
    fit.add_argument("--overwrite", action="store_true", help="replace a model that is there")
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--max-epochs", type=int)
    fit.add_argument("--preset", default="default")
    _settings(fit)

    embed = _command(commands, _embed, "embed the cells of a file with a saved model")
    _data(embed, keys=())
    embed.add_argument("model", type=Path, help="folder of the model")
    embed.add_argument("--out", type=Path, required=True, help="h5ad, h5mu or zarr file to write")
    _recipe(embed)

    evaluate = _command(commands, _evaluate, "score embeddings that are in the file's obsm")
    _data(evaluate, layer=False)
    evaluate.add_argument("use_rep", nargs="+", help="obsm keys")
    evaluate.add_argument("--modality", help="the embeddings lie in this modality of a MuData")
    _scoring(evaluate)
    evaluate.add_argument("--out", type=Path, help="CSV file to write")

    benchmark = _command(
        commands, _benchmark, "train and score methods on the cells of a file; or plan it for a cluster"
    )
    _data(benchmark, optional=True)
    benchmark.add_argument("--methods", nargs="+", default=list(DEMO_METHODS))
    _scoring(benchmark)
    benchmark.add_argument("--seeds", type=int, default=1)
    benchmark.add_argument("--out", type=Path, help="CSV file to write")
    benchmark.add_argument("--cache-dir", type=Path, help="folder that keeps every result as soon as it is there")
    benchmark.add_argument("--n-jobs", type=int, help="processes")
    benchmark.add_argument("--timeout", type=float, help="seconds for one model and its scores")
    benchmark.add_argument("--plan", type=Path, help="JSON file: written if there is a data file, else followed")
    benchmark.add_argument("--cell", help="do one cell of the plan: its position or identifier")
    benchmark.add_argument("--collect", action="store_true", help="compute nothing, write the table of what is done")

    report = _command(commands, _report, "one HTML page out of a CSV of scores, or a file of cells that holds scores")
    report.add_argument("scores", type=Path)
    report.add_argument("--out", type=Path, default=Path("report.html"))

    cite = _command(commands, _cite, "BibTeX of methods, metrics, tasks, data sets")
    cite.add_argument("names", nargs="+")
    return parser


def _command(commands: Any, function: Callable[..., object], text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        function.__name__.removeprefix("_"), help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    parser.set_defaults(command=function)
    return parser


def _data(
    parser: argparse.ArgumentParser,
    keys: Sequence[str] = ("batch_key", "label_key"),
    *,
    optional: bool = False,
    layer: bool = True,
) -> None:
    parser.add_argument("data", type=Path, help="h5ad, h5mu or zarr file", nargs="?" if optional else None)
    if layer:
        parser.add_argument("--layer", help="layer to read instead of X")
    for key in keys:
        parser.add_argument(f"--{key.replace('_', '-')}", help=f"obs column with the {key.removesuffix('_key')}")


def _scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", nargs="+", help="names of tasks; by default all whose columns are given")
    parser.add_argument("--metrics", nargs="+", help="names of scores; by default those of the tasks")
    parser.add_argument("--unlabelled", nargs="+", metavar="LABEL", help="labels that mean that a cell has none")
    parser.add_argument("--split-key", help="obs column made by pp.split; its query cells are held out")
    parser.add_argument("--target", help="modality of a MuData that is to be predicted")


def _recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", action="store_true", help="start from counts: normalise, log, choose genes first")


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        dest="config",
        help="fields of the configuration, e.g. --set temperature=0.2 width=32",
    )


def _save(data: AnnData | MuData, path: Path) -> None:
    write(data, path)
    _say(f"wrote {path}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _summary(table: object) -> str:
    """The table of a benchmark as text: mean and spread over seeds, best method first."""
    import scssl as ssl

    return ssl.get.summary(table, statistic="text").T.to_string(header=True)


def _config(pairs: Sequence[str]) -> Json:
    """``["temperature=0.2"]`` as ``{"temperature": 0.2}``."""
    import ast

    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            msg = f"--set {pair!r} is not NAME=VALUE."
            raise InputError(msg, code="bad_setting", parameter="set")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values


def _list(kind: str) -> None:
    import scssl as ssl

    table = ssl.datasets.table() if kind == "datasets" else getattr(ssl.tl, kind)()
    columns = [c for c in ("family", "task", "group", "n_obs") if c in table]
    words = [[str(name), *map(str, row)] for name, *row in table[columns].itertuples()]
    widths = [max(map(len, column)) for column in zip(*words, strict=True)]
    total = shutil.get_terminal_size().columns
    for line, summary in zip(words, table["summary"], strict=True):
        begin = "".join(f"{word:{width}s}  " for word, width in zip(line, widths, strict=True))
        _say(
            textwrap.fill(
                summary, max(total, len(begin) + 30), initial_indent=begin, subsequent_indent=" " * len(begin)
            )
        )


def _check(data: Path, method: str | None, layer: str | None, batch_key: str | None, label_key: str | None) -> None:
    import scssl as ssl

    found = ssl.pp.check(read(data), method=method, layer=layer, batch_key=batch_key, label_key=label_key)
    for row in found.itertuples():
        _say(f"{row.severity:8s} {row.code} ({row.parameter}): {row.message} {row.fix}")
    numbers = {word: int((found["severity"] == word).sum()) for word in ("error", "warning")}
    _say(", ".join(f"{n} {word}{'' if n == 1 else 's'}" for word, n in numbers.items()))


def _fit(
    data: Path,
    method: str,
    *,
    out: Path,
    model: Path | None,
    recipe: bool,
    overwrite: bool,
    layer: str | None,
    batch_key: str | None,
    label_key: str | None,
    config: Sequence[str],
    **options: Any,
) -> None:
    import scssl as ssl

    fits(data, out)
    adata = read(data)
    if recipe:
        ssl.pp.recipe(adata, batch_key=batch_key, layer=layer)
        layer = None
    made = ssl.tl.fit(adata, method, layer=layer, batch_key=batch_key, **options, **_config(config))
    if model is not None:
        made.save(model, overwrite=overwrite)
        _say(f"wrote {model}")
    _save(adata, out)


def _embed(data: Path, model: Path, *, recipe: bool, layer: str | None, out: Path) -> None:
    import scssl as ssl

    fits(data, out)
    adata = read(data)
    if recipe:
        ssl.pp.recipe(adata, layer=layer)
        layer = None
    ssl.tl.embed(adata, model, layer=layer)
    _save(adata, out)


def _write_scores(table: pd.DataFrame, out: Path) -> None:
    from scssl import _files, _results

    _files.write_text(out, _results.as_csv(table))
    _say(f"wrote {out}")


def _evaluate(data: Path, use_rep: list[str], *, out: Path | None, **options: Any) -> None:
    import scssl as ssl

    table = ssl.tl.evaluate(read(data), use_rep=use_rep, **options)
    _say(_summary(table))
    if out is not None:
        _write_scores(table, out)


def _benchmark(
    *,
    data: Path | None,
    plan: Path | None,
    cell: str | None,
    collect: bool,
    out: Path | None,
    n_jobs: int | None,
    timeout: float | None,
    cache_dir: Path | None,
    **options: Any,
) -> None:
    import scssl as ssl
    from scssl.bench import cluster

    how: dict[str, Any] = {"n_jobs": n_jobs, "timeout": timeout}
    if data is not None and plan is not None:
        made = cluster.write(plan, read(data), data=data, cache_dir=cache_dir, **options)
        _say(f"wrote {plan}: {len(made.table())} cells of {len(made.jobs)} embeddings, 0 to {len(made.table()) - 1}")
        return
    if plan is not None:
        table = cluster.follow(plan, read, cell=cell, collect=collect, **how)
    elif data is not None and out is not None:
        table = ssl.tl.benchmark(read(data), cache_dir=cache_dir, name=data.stem, **how, **options)
    else:
        msg = "There is nothing to do: no file of data and of results (--out), and no plan (--plan)."
        fix = "For example: scssl benchmark data.h5ad --batch-key batch --label-key cell_type --out scores.csv"
        raise InputError(msg, code="nothing_to_do", parameter="data", fix=fix)
    _say(_summary(table) if cell is None else cluster.outcome(table))
    if out is not None:
        _write_scores(table, out)


def _report(scores: Path, out: Path) -> None:
    import scssl as ssl

    ssl.tl.report(read(scores) if scores.suffix.lower() in SUFFIXES else ssl.get.scores(scores), out)


def _cite(names: list[str]) -> None:
    import scssl as ssl

    _say(ssl.cite(*names))


def _demo(*, out: Path, data: Path | None, batch_key: str, label_key: str, seeds: int) -> None:
    """The main job: recipe, benchmark, table, figures, report."""
    import matplotlib as mpl

    import scssl as ssl

    mpl.use("agg")
    adata = ssl.datasets.pbmc68k(batches=3) if data is None else read(data)
    name = "pbmc68k (simulated batches)" if data is None else data.stem
    ssl.pp.recipe(adata, batch_key=batch_key)
    table = ssl.tl.benchmark(
        adata, methods=DEMO_METHODS, batch_key=batch_key, label_key=label_key, seeds=seeds, name=name
    )
    _write_scores(table, out / "scores.csv")
    _say(_summary(table))
    ssl.pl.benchmark(adata, save=out / "benchmark.png", show=False)
    with ssl.settings.override(verbosity="warning"):
        for method in DEMO_METHODS:
            ssl.tl.fit(adata, method, batch_key=batch_key)
    ssl.pl.embedding(
        adata,
        use_rep=[f"X_{method}" for method in DEMO_METHODS],
        color=[batch_key, label_key],
        save=out / "umap.png",
        show=False,
    )
    ssl.tl.report(adata, out / "report.html")
    for file in ("benchmark.png", "umap.png"):
        _say(f"wrote {out / file}")


if __name__ == "__main__":
    sys.exit(main())
