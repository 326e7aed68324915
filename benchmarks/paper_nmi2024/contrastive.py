"""Masking or contrast? One encoder, trained by masks, by BYOL and by Barlow Twins with views of the counts.

    python benchmarks/paper_nmi2024/contrastive.py FILE --batch-key donor --label-key cell_type [--seeds 3]

The views are the pipeline ``counts``: negative binomial noise and thinning of whole counts.
"""

from __future__ import annotations

import report
from study import arguments, study_of

LINES = ("mae", "autoencoder", "byol", "barlow_twins")


def main() -> None:
    options = arguments(__doc__).parse_args()
    study = study_of(options)
    rows = study.rows(study.seeds(LINES, options.seeds, labels=options.labels))
    print(report.compared(rows, study.file.stem, by="line", to="mae"))
    report.dots(rows, study.figure("contrastive"), y="line", color="way")


if __name__ == "__main__":
    main()
