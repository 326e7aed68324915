"""Lines of the table, repeats and held-out cells: what the user wrote, checked and made explicit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scssl import _keys
from scssl._errors import InputError
from scssl._registry import METHODS
from scssl._validate import enforce
from scssl._validate.config import config as check_config
from scssl._words import unknown
from scssl.data.cells import COUNTS
from scssl.data.slots import dense, slot
from scssl.models.applies import LABELS, obstacles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scssl._types import Data, Facts, Json
    from scssl.bench.split import Split
    from scssl.models.finetune import Tuning
    from scssl.models.fit import Request

_REQUEST_FIELDS = frozenset({"preset", "within_batch", "layer", "modalities", "mask_by", "precision", "devices"})
_OBSM = "obsm"
_FINETUNE = "finetune"


@dataclass(frozen=True)
class Entry:
    """A line of the table: a method with its configuration, or an embedding that is there already, under a name.

    Parameters
    ----------
    key
        Name of the line.
    method
        Name of the method.
    options
        ``preset``, ``within_batch``, ``precision`` and fields of the configuration; ``finetune`` for a model that learns
        labels too; ``obsm`` and the hash of its content for an embedding that was made elsewhere.
    """

    key: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    label_key: str = ""
    """Column of the labels, for methods that learn from them."""

    @property
    def given(self) -> bool:
        """Whether the embedding was made elsewhere."""
        return _OBSM in self.options

    @property
    def slot(self) -> str:
        """Where an embedding that was made elsewhere lies in ``obsm``."""
        return self.options[_OBSM]

    @property
    def taught(self) -> bool:
        """Whether the model learns the labels of the cells it is trained on."""
        return self.options.get(_FINETUNE) is not None

    def tuning(self, label_key: str, **shared: object) -> Tuning:
        """The second stage of a line that has one: ``"all"``, or ``{"train": "all", "max_epochs": 20}``."""
        from scssl.models.finetune import Tuning

        asked = self.options[_FINETUNE]
        asked = {"train": asked} if isinstance(asked, str) else asked
        known = [f.name for f in fields(Tuning) if f.metadata or f.name == "group_key"]
        for name in asked if isinstance(asked, Mapping) else [asked]:
            if name not in known:
                raise unknown("option of finetune", name, known, parameter="methods")  # noqa: EM101 - a word
        enforce(check_config(Tuning, asked))
        return Tuning(label_key=label_key, **{**shared, **asked})

    def request(self, base: Request, *, seed: int) -> Request:
        """What to train: what all lines share, with the options of this one."""
        spec = METHODS.describe(self.method)
        named = {k: v for k, v in self.options.items() if k in _REQUEST_FIELDS}
        config = {k: v for k, v in self.options.items() if k not in (*_REQUEST_FIELDS, _FINETUNE)}
        if spec.values == COUNTS:  # the layer of the others holds logarithms; counts are found where they are
            named.setdefault("layer", None)
        if LABELS in spec.needs and self.label_key:
            config.setdefault("label_key", self.label_key)
        return replace(base, **named, method=self.method, seed=seed, config=config)

    def check(self, batch_key: str | None) -> None:
        """Refuse a configuration that the method does not have, before anything is trained."""
        if not self.given:
            self.ingredients(batch_key)

    def reason_against(self, data: object, split: Split, *, batch_key: str | None) -> str:
        """Why the line cannot be computed of these data without the cells of a split, in words; empty if it can."""
        if self.given:
            return ""
        spec = METHODS.describe(self.method)
        if split.column and not spec.inductive:
            return f"method {spec.name!r} is transductive: it cannot embed cells that it was not fitted to"
        request = self.request(_base(self.method, batch_key), seed=0)
        asked = obstacles(spec, data, config=request.config, batch_key=batch_key, wanted=request.modalities)
        found = next(asked, None)
        return "" if found is None else f"{found.message} {found.fix}".strip()

    def ingredients(self, batch_key: str | None) -> Json:
        """All that decides the model besides data and seed, with every default written out."""
        from scssl.methods._base import plain
        from scssl.models.fit import within_batch

        request = self.request(_base(self.method, batch_key), seed=0)
        kind = METHODS.get(self.method)
        return {
            "method": self.method,
            "config": plain(kind.configure(request.preset, **request.config)),
            "within_batch": within_batch(kind.spec, request),
            **{name: getattr(request, name) for name in ("layer", "modalities", "mask_by", "precision", "devices")},
            **({_FINETUNE: asdict(self.tuning(""))} if self.taught else {}),
        }


def _base(method: str, batch_key: str | None) -> Request:
    """A request that only names the method and the batches."""
    from scssl.models.fit import Request

    return Request(method=method, batch_key=batch_key)


def entries(
    methods: str | Sequence[str] | Mapping[str, Facts],
    *,
    label_key: str | None = None,
    optional: bool = False,
) -> list[Entry]:
    """Lines of the table: names of methods, or ``{"line": {"method": ..., "temperature": ...}}``.

    Raises
    ------
    InputError
        If there is none (unless that is `optional`), or a line is not described by a dictionary.
    KeyNotFoundError
        If a method does not exist.
    """
    if isinstance(methods, str):
        methods = [methods]
    if not methods and not optional:
        raise InputError("methods is empty.", code="bad_methods", parameter="methods")  # noqa: EM101 - a constant
    lines = list(methods.items()) if isinstance(methods, Mapping) else [(name, {}) for name in methods]
    made = []
    for key, options in lines:
        if not isinstance(options, Mapping):
            msg = f"methods[{key!r}]={options!r} is of type {type(options).__name__}, expected a dictionary of options."
            fix = f'For example methods={{{key!r}: {{"method": "simclr"}}}}.'
            raise InputError(msg, code="bad_methods", parameter="methods", fix=fix)
        method = str(options.get("method", key))
        METHODS.describe(method)
        own = _plain({k: v for k, v in options.items() if k != "method"})
        made.append(Entry(str(key), method, own, label_key or ""))
    return made


def _plain(options: Json) -> Json:
    """Options as a plan keeps them: plain values, views by their description."""
    if options.get("views") is not None:
        from scssl.views.pipeline import describe, resolve

        options = {**options, "views": describe(resolve(options["views"]))}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}


def given(data: Data, embeddings: str | Sequence[str]) -> list[Entry]:
    """Lines for embeddings that are in ``obsm``, whoever made them.

    Raises
    ------
    KeyNotFoundError
        If there is no such embedding.
    """
    made = []
    for name in [embeddings] if isinstance(embeddings, str) else embeddings:
        place = slot(data, name)
        if place not in data.obsm:
            raise unknown("embedding", name, [str(k) for k in data.obsm], parameter="embeddings")  # noqa: EM101
        content = hashlib.sha256(np.ascontiguousarray(dense(data.obsm[place])).tobytes()).hexdigest()
        key = _keys.bare(place)
        made.append(Entry(key, key, {_OBSM: place, "content": content}))
    return made


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """``3`` means seeds 0, 1 and 2."""
    chosen = (
        list(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else list(np.atleast_1d(seeds))
    )
    if (
        not chosen
        or len(set(chosen)) < len(chosen)
        or not all(isinstance(s, int | np.integer) for s in chosen)
        or min(chosen) < 0
    ):
        msg = f"seeds={seeds!r} is not a number of seeds or a list of different ones of at least 0."
        raise InputError(msg, code="bad_seeds", parameter="seeds", fix="Pass seeds=3 or seeds=[0, 1, 2].")
    return [int(s) for s in chosen]
