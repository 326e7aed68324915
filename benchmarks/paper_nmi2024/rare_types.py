"""Who finds rare types? F1 of each type against its number of labelled cells, for all lines of ``zero_shot.py``.

    python benchmarks/paper_nmi2024/rare_types.py FILE --batch-key donor --label-key cell_type [--seeds 3] [--rare 0.03]

All cells of the reference are labelled, so that the types are as unequal as they come.
"""

from __future__ import annotations

import pandas as pd
import report
from study import arguments, study_of
from zero_shot import LINES


def by_type(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each type of each row: its F1, and its share of the labelled cells."""
    parts = []
    for _, row in rows.iterrows():
        total = sum(row["n_labelled"].values())
        shares = {name: count / total for name, count in row["n_labelled"].items()}
        parts += [
            row.to_dict() | {"type": name, "macro_f1": f1, "share": shares[name]} for name, f1 in row["f1"].items()
        ]
    return pd.DataFrame(parts)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rare", type=float, default=0.03, help="largest share of the labelled cells of a rare type")
    options = parser.parse_args()
    study = study_of(options)
    single = by_type(study.rows(study.seeds(LINES, options.seeds)))
    share = single.groupby("type")["share"].mean().sort_values(ascending=False)
    single["arm"] = single["line"].where(single["line"] == "from scratch", single["line"] + ", " + single["way"])
    named = {name: f"{name} ({value:.1%})" for name, value in share.items()}
    single = single.assign(type_and_share=single["type"].map(named)).sort_values(
        "share", ascending=False, kind="stable"
    )
    print(f"\n**{study.file.stem}: F1 of each type**\n\n{report.table(single, ['arm'], 'type_and_share')}\n")
    single["kind"] = (single["type"].map(share) > options.rare).map({True: "common types", False: "rare types"})
    pooled = single.groupby(["arm", "kind", "seed"], sort=False)["macro_f1"].mean().reset_index()
    print(report.table(pooled, ["arm"], "kind"))
    report.dots(pooled, study.figure("rare_types"), y="arm", color="kind")


if __name__ == "__main__":
    main()
