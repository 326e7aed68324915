"""Is pretraining worth it? Zero-shot against fine-tuned against supervised from scratch, on donors that nobody saw.

    python benchmarks/paper_nmi2024/zero_shot.py FILE --batch-key donor --label-key cell_type [--held-out D1 D2] [--seeds 3]

All cells of the other donors are pretrained on; all of them have labels, or a few of each type.
"""

from __future__ import annotations

import report
from study import arguments, study_of

LINES = ("mae", "autoencoder", "from scratch", "pca")


def main() -> None:
    options = arguments(__doc__).parse_args()
    study = study_of(options)
    many, few = "all cells labelled", f"{options.labels} labelled a type"
    for labels, name in ((options.labels, few), (0, many)):
        rows = study.rows(study.seeds(LINES, options.seeds, labels=labels)).assign(labelled=name)
        print(f"\n**{study.file.stem}, {name}**\n\n{report.table(rows, ['line'], 'way')}\n")
        print(report.gains(rows, {"line": "from scratch"}, ["line", "way"]))
        report.dots(rows, study.figure(f"zero_shot-{labels or 'all'}"), y="line", color="way")


if __name__ == "__main__":
    main()
