"""How the site is built. A build needs no network: links into other projects are made on Read the Docs only."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import metadata
from pathlib import Path
from typing import TypeVar

from sphinx.deprecation import RemovedInSphinx10Warning

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

# sphinx-autodoc-typehints asks Sphinx 9 for something that Sphinx 10 will not have: one line per annotation otherwise
warnings.filterwarnings("ignore", category=RemovedInSphinx10Warning, module="sphinx_autodoc_typehints")

about = metadata("scssl")
urls = dict(line.split(", ", 1) for line in about.get_all("Project-URL"))

project = about["Name"]
author = about["Author"]
copyright = f"2026, {author}"
version = release = about["Version"]
repository = urls["Source"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",  # after napoleon
    "sphinxcontrib.bibtex",
    "sphinx_copybutton",
    "sphinx_design",
    # ours, in docs/extensions
    "mathml",
    "prose_returns",
    "registry_pages",
    "problem_codes",
    "tutorials",
]

# .rst first: it is the form of the pages that autosummary writes
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "**.ipynb_checkpoints", "README.md"]
suppress_warnings = [
    # annotations that exist for the type checker only are shown as they are written
    "sphinx_autodoc_typehints.guarded_import",
    "sphinx_autodoc_typehints.forward_reference",
    "config.cache",  # a function below is part of the configuration
]

nitpicky = True
nitpick_ignore_regex = [
    # names of other projects resolve where their inventories can be read; those of scssl resolve everywhere
    (r"py:.*", r"(?!scssl\b).*"),
]

if os.environ.get("READTHEDOCS") == "True":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "mudata": ("https://mudata.readthedocs.io/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# documentation out of the source
autosummary_generate = True
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = True
napoleon_custom_sections = [("Slots", "params_style")]
always_use_bars_union = True
typehints_defaults = None


# private modules that docs/api shows under their name
SHOWN_AS_THEY_ARE = {"scssl._registry", "scssl._specs", "scssl._settings"} | {
    f"scssl.methods.{name}" for name in ("_base", "_network", "_trained")
}


def typehints_fixup_module_name(module: str) -> str:
    """The place where users find a thing, not the private file that it is written in."""
    if module in SHOWN_AS_THEY_ARE:
        return module
    return "scssl" if module == "scssl.models.model" else module.partition("._")[0]


def typehints_formatter(annotation: object, config: object) -> str | None:
    """A type variable by its name; everything else as usual."""
    return f"``{annotation.__name__}``" if isinstance(annotation, TypeVar) else None


# pages
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are executed by `make tutorials` and kept with their outputs
nb_merge_streams = True
bibtex_bibfiles = [
    "../src/scssl/references.bib",  # what scssl.cite knows
    "extra.bib",  # cited in the guides only
]
bibtex_reference_style = "author_year"
html_math_renderer = "mathml"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "sphinx_book_theme"
html_title = "scssl"
html_static_path = ["_static"]
html_css_files = ["scssl.css"]
html_show_sphinx = False
html_theme_options = {
    "repository_url": repository,
    "use_repository_button": True,
    "path_to_docs": "docs",
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "icon_links": [],
    "navbar_persistent": [],  # the search field stands in the side bar
}
