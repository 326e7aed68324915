"""How many unlabelled cells are worth pretraining on? Few labels, more and more cells without.

    python benchmarks/paper_nmi2024/size_curve.py FILE --batch-key donor --label-key cell_type [--sizes 500 2000]

Every pretraining takes the same number of steps, so that a larger set means other cells and not more training.
"""

from __future__ import annotations

import pandas as pd
import report
from study import arguments, study_of


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[500, 2000])
    parser.add_argument("--line", default="mae", help="of study.LINES, e.g. 'mae, held out'")
    options = parser.parse_args()
    study = study_of(options)
    whole = min(study.divided(seed)[0].n_obs for seed in range(options.seeds))
    sizes = [size for size in options.sizes if size < whole]
    rows = study.rows(
        run for size in (*sizes, 0) for run in study.seeds([options.line], options.seeds, unlabelled=size, labels=options.labels)
    )  # fmt: skip
    base = study.rows(study.seeds(["from scratch"], options.seeds, labels=options.labels))
    rows["cells"] = rows["unlabelled"].where(rows["unlabelled"] > 0, round(whole, -2))
    print(f"\n**{study.file.stem}**\n\n{report.table(rows, ['cells'], 'way')}\n")
    print(f"from scratch, without any: {report.over_seeds(base, ['line'])['mean'].iloc[0]:.3f}\n")
    flat = pd.concat([base.assign(cells=size, way="from scratch") for size in dict.fromkeys(rows["cells"])])
    labels = {"xlabel": "cells without labels", "ylabel": f"macro-F1, {options.labels} labels a type"}
    report.curves(
        pd.concat([rows, flat]), study.figure(f"size_curve {options.line}"), x="cells", line="way", labels=labels
    )


if __name__ == "__main__":
    main()
