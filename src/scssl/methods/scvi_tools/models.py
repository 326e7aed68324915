"""The models of scvi-tools, a few lines each."""

from __future__ import annotations

from scssl._registry import METHODS
from scssl.methods.scvi_tools.adapter import ScviTools, config_of
from scssl.methods.scvi_tools.table import TOOLS


@METHODS.register(
    "scvi",
    title="scVI",
    family="generative",
    reference="lopez2018scvi",
    values="counts",
    kinds=(("rna",),),
    gives=("values", "history"),
    compares="off",
    extra="scvi",
    summary="the probabilistic reference: a variational autoencoder of counts that knows the batch of each cell",
)
class ScVI(ScviTools):
    r"""A variational autoencoder of counts with a decoder that knows the batch :cite:p:`lopez2018scvi`, by scvi-tools.

    .. math:: -\log p(x \mid z, \ell, b) + w \, \mathrm{KL}\left(q(z \mid x) \,\|\, N(0, I)\right)

    Training is that of scvi-tools, with the same bits at the same seed. Presets: ``default`` is theirs; ``tuned`` has 2 layers, 30
    dimensions and a negative binomial likelihood, as benchmarks use it; ``paper`` has the 8 layers of scSSL-Bench.
    """

    tool = TOOLS["scvi"]
    Config = config_of(tool)
    presets = tool.presets


@METHODS.register(
    "scanvi",
    title="scANVI",
    family="generative",
    reference="xu2021scanvi",
    values="counts",
    kinds=(("rna",),),
    needs=("labels",),
    gives=("values", "labels", "history"),
    sees_labels=True,
    compares="off",
    extra="scvi",
    summary="scVI that also learns from labels: where some cells are labelled; not comparable with methods that see none",
)
class ScANVI(ScviTools):
    """A scVI model with a classifier of the labels of ``label_key`` :cite:p:`xu2021scanvi`, by scvi-tools, trained from scratch.

    It sees labels: its scores on the cells that it learned them from are not comparable with those of other methods.
    """

    tool = TOOLS["scanvi"]
    Config = config_of(tool)
    presets = tool.presets


@METHODS.register(
    "totalvi",
    title="totalVI",
    family="generative",
    reference="gayoso2021totalvi",
    values="counts",
    kinds=(("rna", "protein"),),
    gives=("values", "history"),
    compares="off",
    extra="scvi",
    summary="the probabilistic reference for RNA and protein counts together",
)
class TotalVI(ScviTools):
    """A variational autoencoder of RNA and protein counts with protein background :cite:p:`gayoso2021totalvi`, by scvi-tools."""

    tool = TOOLS["totalvi"]
    Config = config_of(tool)
    presets = tool.presets
    embeds_one = True


@METHODS.register(
    "multivi",
    title="MultiVI",
    family="generative",
    reference="ashuach2023multivi",
    values="counts",
    kinds=(("rna", "atac"),),
    gives=("values", "history"),
    compares="off",
    extra="scvi",
    summary="the probabilistic reference for RNA and open chromatin together",
)
class MultiVI(ScviTools):
    """A variational autoencoder of RNA and peaks in one space :cite:p:`ashuach2023multivi`, by scvi-tools."""

    tool = TOOLS["multivi"]
    Config = config_of(tool)
    presets = tool.presets
    embeds_one = True


@METHODS.register(
    "peakvi",
    title="PeakVI",
    family="generative",
    reference="ashuach2022peakvi",
    values="counts",
    kinds=(("atac",),),
    gives=("values", "history"),
    compares="off",
    extra="scvi",
    summary="the probabilistic reference for open chromatin alone",
)
class PeakVI(ScviTools):
    """A variational autoencoder of open peaks :cite:p:`ashuach2022peakvi`, by scvi-tools."""

    tool = TOOLS["peakvi"]
    Config = config_of(tool)
    presets = tool.presets


@METHODS.register(
    "sysvi",
    title="SysVI",
    family="generative",
    reference="hrovatin2023sysvi",
    kinds=(("rna",),),
    needs=("batches",),
    gives=("values", "history"),
    compares="off",
    extra="scvi",
    summary="for batches that differ much (species, organoids, protocols); takes log-normalised values",
)
class SysVI(ScviTools):
    """A conditional autoencoder with a VampPrior and cycle consistency between systems :cite:p:`hrovatin2023sysvi`, by scvi-tools."""

    tool = TOOLS["sysvi"]
    Config = config_of(tool)
    presets = tool.presets


@METHODS.register(
    "joint_embedding_scvi",
    title="JointEmbeddingSCVI",
    family="generative",
    reference="lopez2018scvi",
    values="counts",
    kinds=(("rna",),),
    gives=("values", "history"),
    compares="off",
    extra="scvi>=1.5",
    summary="scVI with a self-supervised term over two thinned views of each cell; needs scvi-tools 1.5",
)
class JointEmbeddingSCVI(ScviTools):
    """A scVI model :cite:p:`lopez2018scvi` whose embeddings of two thinnings of a cell are also made to correlate, dimension by dimension; by scvi-tools."""

    tool = TOOLS["joint_embedding_scvi"]
    Config = config_of(tool)
    presets = tool.presets
