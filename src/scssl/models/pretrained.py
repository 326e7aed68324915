"""Published weights as models: one door for all formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scssl._errors import InputError
from scssl._words import unknown
from scssl.models.weights.ssl_in_scg import GENE_NAMES, SSL_IN_SCG

if TYPE_CHECKING:
    from scssl.models.model import Model

SCVI = "scvi"
FORMATS = (SSL_IN_SCG, SCVI)


def load_pretrained(
    path: str | os.PathLike[str],
    *,
    format: str = SSL_IN_SCG,
    genes: str | os.PathLike[str] | None = None,
    gene_names: str = GENE_NAMES[0],
    trust: bool = False,
) -> Model:
    """Read published weights: tensors alone, every one of them has to find its place.

    ``"ssl_in_scg"`` is what :cite:t:`richter2025delineating` released: ``RandomMask.ckpt``, ``GPMask.ckpt`` (encoder and
    decoder, a ``mae``) and ``BarlowTwins.ckpt`` (an encoder, a ``barlow_twins`` with a new projection head), and
    ``var.parquet`` with the order of their 19,331 genes. The network scales each cell to 10,000 over these genes itself
    (``total=1e4``), so that log-normalised values of any target sum can be embedded, and runs with SELU, as it was trained.
    Genes that the data lack are zero, as there.

    ``"scvi"`` is a folder that ``model.save`` of scvi-tools wrote (scVI, scANVI, totalVI, MultiVI, PeakVI, SysVI). It holds a
    pickle, which runs code when it is opened: only with `trust`.

    Parameters
    ----------
    path
        The checkpoint, e.g. what :func:`scssl.datasets.pretrained` returned; the folder of scvi-tools.
    format
        Who made it: ``"ssl_in_scg"`` or ``"scvi"``.
    genes
        Table of the genes in the order of the input, parquet or csv; ``var.parquet`` (or ``var.csv``) beside the checkpoint
        by default.
    gene_names
        Its column that the data will have in ``var_names``: ``"feature_id"`` (Ensembl) or ``"feature_name"`` (symbols).

    trust
        Whether the makers of a file that can run code are known and trusted.

    Returns
    -------
    Model
        To embed, to fine-tune, to start from. ``record["source"]`` has the file and its SHA-256.

    Raises
    ------
    CheckpointError
        If a file that can run code is not trusted. If it cannot be read, holds more than tensors, or a tensor is missing, left over or of another shape; all of
        them are named.
    InputError
        If the genes cannot be read or are not those of the weights.

    Examples
    --------
    >>> import scssl as ssl
    >>> path = ssl.datasets.pretrained("ssl_in_scg/random_mask")  # doctest: +SKIP
    >>> model = ssl.load_pretrained(path, gene_names="feature_name")  # doctest: +SKIP
    >>> ssl.tl.embed(adata, model)  # doctest: +SKIP
    """
    if format not in FORMATS:
        raise unknown("format", format, list(FORMATS))  # noqa: EM101 - a word, not the sentence
    for parameter, value in (("path", path), ("genes", "" if genes is None else genes)):
        if not isinstance(value, str | os.PathLike):
            msg = f"{parameter} is of type {type(value).__name__}, expected the path of a file."
            raise InputError(msg, code="bad_type", parameter=parameter)
    if format == SCVI:
        from scssl.models.weights import scvi

        return scvi.read(Path(path), trust=bool(trust))
    from scssl.models.weights import ssl_in_scg

    return ssl_in_scg.read(Path(path), genes=None if genes is None else Path(genes), gene_names=gene_names)
