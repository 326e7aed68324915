"""Models of scvi-tools as data; the defaults are those of scvi-tools, which a test compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scssl.methods.scvi_tools.tool import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scssl.methods.scvi_tools.tool import Plain

_TUNED: Mapping[str, Plain] = {"n_layers": 2, "n_latent": 30, "gene_likelihood": "nb"}

_GENES: Mapping[str, Plain] = {
    "n_hidden": 128, "n_latent": 10, "n_layers": 1, "dropout_rate": 0.1, "dispersion": "gene", "gene_likelihood": "zinb",
    "use_observed_lib_size": True, "encode_covariates": False, "deeply_inject_covariates": True,
    "use_batch_norm": "both", "use_layer_norm": "none",
}  # fmt: skip
_ADAM: Mapping[str, Plain] = {
    "lr": 1e-3,
    "weight_decay": 1e-6,
    "n_epochs_kl_warmup": 400,
    "early_stopping": False,
    "train_size": None,
}

_PEAKS: Mapping[str, Plain] = {
    "n_hidden": None, "n_latent": None, "n_layers_encoder": 2, "n_layers_decoder": 2, "dropout_rate": 0.1,
    "region_factors": True, "use_batch_norm": "none", "use_layer_norm": "both", "deeply_inject_covariates": False,
    "encode_covariates": False,
}  # fmt: skip
_ADAMW: Mapping[str, Plain] = {
    "lr": 1e-4,
    "weight_decay": 1e-3,
    "n_epochs_kl_warmup": 50,
    "early_stopping": True,
    "train_size": None,
}

_ALL = (
    Tool(
        "scvi", "scVI", "scvi.model:SCVI", reference="lopez2018scvi", init=_GENES, train=_ADAM,
        presets={"paper": {**_TUNED, "n_layers": 8}, "tuned": _TUNED},
    ),
    Tool(
        "scanvi", "scANVI", "scvi.model:SCANVI", reference="xu2021scanvi", needs=("labels",),
        init={**_GENES, "linear_classifier": False},
        train={**_ADAM, "train_size": 0.9, "classification_ratio": 50, "n_samples_per_label": None}, presets={"tuned": _TUNED},
    ),
    Tool(
        "totalvi", "totalVI", "scvi.model:TOTALVI", ("rna", "protein"), reference="gayoso2021totalvi",
        needs=("paired",), encodes_batch=True,
        init={
            "n_hidden": 256, "n_latent": 20, "n_layers_encoder": 2, "n_layers_decoder": 1, "dropout_rate_encoder": 0.2,
            "dropout_rate_decoder": 0.2, "gene_dispersion": "gene", "protein_dispersion": "protein",
            "gene_likelihood": "nb", "empirical_protein_background_prior": None, "override_missing_proteins": False,
            "encode_covariates": True, "use_batch_norm": "both", "use_layer_norm": "none",
        },
        train={
            "lr": 4e-3, "weight_decay": 1e-6, "n_epochs_kl_warmup": None, "n_steps_kl_warmup": None,
            "early_stopping": True, "reduce_lr_on_plateau": True, "train_size": None,
        },
        presets={"paper": {}},
    ),
    Tool(
        "multivi", "MultiVI", "scvi.model:MULTIVI", ("rna", "atac"), reference="ashuach2023multivi", max_epochs=500,
        init={
            **_PEAKS, "modality_weights": "equal", "modality_penalty": "Jeffreys", "gene_likelihood": "zinb",
            "dispersion": "gene",
        },
        train={**_ADAMW, "adversarial_mixing": True},
    ),
    Tool(
        "peakvi", "PeakVI", "scvi.model:PEAKVI", ("atac",), reference="ashuach2022peakvi", max_epochs=500,
        init={**_PEAKS, "model_depth": True}, train=_ADAMW,
    ),
    Tool(
        "sysvi", "SysVI", "scvi.external:SysVI", values="log", reference="hrovatin2023sysvi", needs=("batches",),
        encodes_batch=True, maps_queries=False,
        init={
            "n_hidden": 256, "n_latent": 15, "n_layers": 2, "dropout_rate": 0.1, "prior": "vamp",
            "n_prior_components": 5,
        },
        train={k: _ADAM[k] for k in ("lr", "weight_decay", "early_stopping", "train_size")}
        | {"z_distance_cycle_weight": 2.0},
    ),
    Tool(
        "joint_embedding_scvi", "JointEmbeddingSCVI", "scvi.external:JointEmbeddingSCVI",
        since=(1, 5), train=_ADAM,
        init={
            **_GENES, "joint_embedding_weight": 100.0, "lambda_off_diag": 0.01, "min_library_size": 10.0,
            "reconstruction_weight": 1.0, "variance_weight": 0.0,
        },
    ),
)  # fmt: skip

TOOLS = {tool.name: tool for tool in _ALL}
"""Models by name; those of later versions of scvi-tools too (:attr:`Tool.installed`)."""
