"""Pages and tables made from the registries when the site is built: a new file in `scssl.methods` is a new page.

- ``methods/generated/<name>.rst``: one page per method out of its description, docstring, configuration and presets
- ``.. registry-table:: metrics``: a table of everything in a registry
"""

from __future__ import annotations

import inspect
import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils.parsers.rst import directives
from sphinx.ext.napoleon.docstring import NumpyDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import scssl
from scssl import _registry
from scssl._cite import bibliography, cite
from scssl.views import PIPELINES, describe, resolve

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

REGISTRIES = {
    "methods": _registry.METHODS,
    "metrics": _registry.METRICS,
    "tasks": _registry.TASKS,
    "datasets": _registry.DATASETS,
    "views": _registry.VIEWS,
}
COLUMNS = {
    "methods": ("name", "title", "family", "summary", "reference"),
    "metrics": ("name", "title", "range", "better", "floor", "summary", "reference"),
    "tasks": ("name", "title", "needs", "summary", "reference"),
    "datasets": ("name", "title", "cells x features", "modalities", "source", "licence", "reference"),
    "views": ("name", "parameters", "summary", "reference"),
}
FAMILIES = {
    "contrastive": "views of a cell attract, other cells repel",
    "redundancy": "views agree, dimensions stay spread and independent",
    "distillation": "one network predicts the output of a slower copy of itself",
    "masked": "hidden values are predicted from the visible ones",
    "generative": "a probabilistic model of the counts",
    "baseline": "not self-supervised; what the others have to be better than",
    "control": "learns nothing; shows what a metric gives away for free",
}


def list_table(header: tuple[str, ...], rows: list[list[str]], *, css: str = "", widths: str = "auto") -> list[str]:
    """A ``list-table`` in reStructuredText; cells may hold several lines."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", f"   :class: {css or 'listing'}", ""]
    for row in [list(header), *rows]:
        for column, cell in enumerate(row):
            first, *rest = cell.splitlines() or [""]
            lines.append(f"   {'* -' if column == 0 else '  -'} {first}")
            lines += [f"       {line}" for line in rest]
    return lines


def _cited(reference: str) -> str:
    keys = [key.strip() for key in reference.split(",") if key.strip()]
    known = bibliography()
    return ", ".join(f":cite:t:`{key}`" if key in known else f"``{key}``" for key in keys)


def _cell(kind: str, spec: Any, column: str) -> str:
    """One cell of a registry table, as reStructuredText."""
    if column == "name":
        page = f"/methods/generated/{spec.name}"
        return f":doc:`{spec.name} <{page}>`" if kind == "methods" else f"``{spec.name}``"
    if column == "range":
        return f"{spec.lower:g} to {spec.upper:g}"
    if column == "cells x features":
        return f"{spec.n_obs:,} x {spec.n_vars:,}"
    if column == "reference":
        return _cited(spec.reference)
    if column == "parameters":
        view = _registry.VIEWS.get(spec.name)
        return ", ".join(f"``{f.name}={f.default!r}``" for f in sorted(fields(view), key=lambda f: f.name == "p"))
    value = getattr(spec, column)
    if isinstance(value, tuple):
        return ", ".join(f"``{part}``" for part in value)
    return value if column in ("title", "summary", "licence", "source", "better", "floor") else f"{value}"


class RegistryTable(SphinxDirective):
    """``.. registry-table:: metrics`` with the options ``group``, ``task`` and ``family`` to keep a part."""

    required_arguments = 1
    option_spec: ClassVar = {
        "task": directives.unchanged,
        "group": directives.unchanged,
        "family": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Parse the table as if it stood in the page."""
        kind = self.arguments[0]
        registry = REGISTRIES[kind]
        specs = [registry.describe(name) for name in registry]
        for option, wanted in self.options.items():
            specs = [spec for spec in specs if getattr(spec, option) == wanted]
        rows = [[_cell(kind, spec, column) for column in COLUMNS[kind]] for spec in specs]
        lines = list_table(COLUMNS[kind], rows)
        return self.parse_text_to_nodes("\n".join(lines)) if rows else []


def _docstring(app: Sphinx, thing: Any) -> list[str]:
    text = inspect.getdoc(thing) or ""
    return str(NumpyDocstring(text, app.config, app, "class", thing.__name__, thing)).splitlines()


def _field_docs(config: type) -> dict[str, str]:
    """The strings below the fields of a configuration and of the classes it extends."""
    found: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        if kind.__module__ == "builtins":
            continue
        documented = ModuleAnalyzer.for_module(kind.__module__).find_attr_docs()
        for (owner, name), lines in documented.items():
            if owner == kind.__qualname__:
                found[name] = " ".join(lines).strip()
    return found


def _default(field: Any) -> str:
    value = field.default if field.default is not MISSING else field.default_factory()
    if field.name == "views":
        value = next((name for name, parts in PIPELINES.items() if resolve(parts) == value), describe(value))
    return f"``{value!r}``"


def _limits(field: Any) -> str:
    words = {"at_least": "at least {}", "above": "above {}", "below": "below {}", "at_most": "at most {}"}
    said = [words[key].format(value) for key, value in field.metadata.items() if key in words]
    if "choices" in field.metadata:
        said.append("one of " + ", ".join(f"``{choice!r}``" for choice in field.metadata["choices"]))
    return ", ".join(said)


def _configuration(config: type) -> list[str]:
    docs = _field_docs(config)
    rows = []
    for field in fields(config):
        about = " ".join(part for part in (docs.get(field.name, ""), f"({_limits(field)})" if _limits(field) else ""))
        rows.append([f"``{field.name}``", _default(field), about.strip()])
    own = set(vars(config).get("__annotations__", {}))
    rows.sort(key=lambda row: row[0].strip("`") not in own)  # the method's own fields first
    return list_table(("field", "default", "what it does"), rows, css="configuration", widths="22 23 55")


def _presets(method: Any) -> list[str]:
    if not method.presets:
        return []
    lines = ["Presets", "-------", ""]
    for name, values in method.presets.items():
        changes = ", ".join(f"``{key}={value!r}``" for key, value in values.items())
        lines += [f"``preset={name!r}``", f"    {changes}", ""]
    return lines


def _facts(spec: Any) -> list[str]:
    compared = f"``{spec.compares!r}`` with a batch key" if spec.trains else "not trained: no effect"
    compared += "" if spec.masks or not spec.trains else "; its loss takes each cell for itself, ``'mask'`` is refused"
    rows = [
        ["family", f"{spec.family}: {FAMILIES.get(spec.family, '')}"],
        ["input", "counts" if spec.values == "counts" else "log-normalised values (:func:`scssl.pp.recipe`)"],
        ["``within_batch``", compared],
        ["reconstructs its input", "yes" if spec.decodes else "no"],
        ["reference", _cited(spec.reference) or "none"],
    ]
    return list_table(("", ""), rows, css="facts")


def method_page(app: Sphinx, name: str) -> str:
    """The page of a method, as reStructuredText."""
    spec, method = _registry.METHODS.describe(name), _registry.METHODS.get(name)
    call = f'ssl.tl.fit(adata, method="{name}", batch_key="batch")'
    origin = _registry.METHODS.table().loc[name, "origin"]
    parts = [
        [f".. _method-{name}:", "", spec.title, "=" * len(spec.title), ""],
        [f"{spec.summary[:1].upper()}{spec.summary[1:]}.", "", *_facts(spec), ""],
        ["What it does", "------------", "", *_docstring(app, method), ""],
        ["Call", "----", "", ".. code-block:: python", "", f"    {call}", f'    # adata.obsm["X_{name}"]', ""],
        ["Configuration", "-------------", "", "Fields are keywords of :func:`scssl.tl.fit`.", ""],
        [*_configuration(method.Config), "", *_presets(method)],
        _citation(spec),
        [
            f"Source: ``{method.__module__.replace('.', '/')}.py``"
            + ("" if origin == "scssl" else f" of ``{origin}``"),
            "",
        ],
    ]
    return "\n".join(line for part in parts for line in part)


def _citation(spec: Any) -> list[str]:
    if not spec.reference:
        return []
    entries = cite(spec.name).splitlines()
    return ["Citation", "--------", "", ".. code-block:: bibtex", "", *(f"    {line}" for line in entries), ""]


def write_method_pages(app: Sphinx) -> None:
    """Write a page for each method; unchanged ones keep their time stamp, so that they are not built again."""
    folder = Path(app.srcdir) / "methods" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{name}.rst": method_page(app, name) for name in _registry.METHODS}
    for stale in set(folder.glob("*.rst")) - {folder / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive and write the pages before sources are collected."""
    app.add_directive("registry-table", RegistryTable)
    app.connect("builder-inited", write_method_pages)
    described = {kind: registry.table().to_json() for kind, registry in REGISTRIES.items()}
    app.add_config_value("registries", json.dumps(described), "env")  # a new entry rebuilds the tables
    return {"version": scssl.__version__, "parallel_read_safe": True, "parallel_write_safe": True}
