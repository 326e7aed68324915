"""Does a model have to see the donors that it is asked about? Pretrained with and without them, never with their labels.

    python benchmarks/paper_nmi2024/unseen_donors.py FILE --batch-key donor --label-key cell_type [--seeds 3]

Genes are chosen, labels given and classifiers fitted on the other donors in both cases.
"""

from __future__ import annotations

import pandas as pd
import report
from study import arguments, study_of

LINES = ("mae", "pca")


def main() -> None:
    options = arguments(__doc__).parse_args()
    study = study_of(options)
    names = {False: "never seen", True: "seen without labels"}
    parts = [study.rows(study.seeds(LINES, options.seeds, seen=seen, labels=options.labels)) for seen in names]
    rows = pd.concat(parts).assign(pretraining=lambda frame: frame["seen"].map(names))
    print(f"\n**{study.file.stem}**\n\n{report.table(rows, ['line', 'way'], 'pretraining')}\n")
    for (line, way), part in rows.groupby(["line", "way"], sort=False):
        print(f"{line}, {way}\n\n{report.gains(part, {'pretraining': names[False]}, ['pretraining'])}\n")
    shown = rows.assign(line=rows["line"] + ", " + rows["way"])
    report.dots(shown, study.figure("unseen_donors"), y="line", color="pretraining")


if __name__ == "__main__":
    main()
