"""Is pretraining worth it? Zero-shot against fine-tuned against supervised from scratch, on donors that nobody saw.

    python benchmarks/paper_nmi2024/zero_shot.py FILE --batch-key donor --label-key cell_type [--held-out D1 D2] [--seeds 3]

All cells of the other donors are pretrained on; all of them have labels, or a few of each type.
"""

from __future__ import annotations

import pandas as pd
import report
from study import arguments, study_of

LINES = ("mae", "autoencoder", "from scratch", "pca")


def main() -> None:
    options = arguments(__doc__).parse_args()
    study = study_of(options)
    parts = []
    for labels in (options.labels, 0):
        name = f"{labels} labels a type" if labels else "all cells labelled"
        rows = study.rows(study.seeds(LINES, options.seeds, labels=labels)).assign(labelled=name)
        parts.append(rows)
        print(f"\n**{study.file.stem}, {name}**\n\n{report.table(rows, ['line'], 'way')}\n")
        print(report.gains(rows, {"line": "from scratch"}, ["line", "way"]))
    report.dots(pd.concat(parts), study.figure("zero_shot"), y="line", color="way", panel="labelled")


if __name__ == "__main__":
    main()
