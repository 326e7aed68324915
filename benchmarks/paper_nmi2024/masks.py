"""Which mask? At random, by gene programmes, isolated, targets to transcription factor, and none.

    python benchmarks/paper_nmi2024/masks.py FILE --gene-sets SETS.gmt [--regulators FACTORS.txt] [--seeds 3]

Without ``--regulators`` the last mask is left out; with it, the targets of a factor are the genes that go with it in the
pretraining cells (`study.regulons`).
"""

from __future__ import annotations

import report
from study import arguments, study_of

LINES = ("mae", "mae, gene_programme", "mae, gp_to_gp", "mae, gp_to_tf", "autoencoder")


def main() -> None:
    options = arguments(__doc__).parse_args()
    study = study_of(options)
    needed = {
        "mae, gp_to_tf": study.regulators,
        "mae, gene_programme": study.gene_sets,
        "mae, gp_to_gp": study.gene_sets,
    }
    lines = [line for line in LINES if needed.get(line, True)]
    rows = study.rows(study.seeds(lines, options.seeds, labels=options.labels))
    shown = rows.assign(mask=rows["line"].map({"mae": "random", "autoencoder": "none"}).fillna(rows["line"].str[5:]))
    print(report.compared(shown, study.file.stem, by="mask", to="none"))
    report.dots(shown, study.figure("masks"), y="mask", color="way")


if __name__ == "__main__":
    main()
