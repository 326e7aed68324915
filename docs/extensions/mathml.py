"""Formulas as MathML: browsers draw it themselves, so pages need neither a script nor a network.

The conversion is that of docutils. It knows the LaTeX of a method page, not every package; what it does not know stops
the build with a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.errors import SphinxError

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _converted(node: nodes.Element, *, block: bool) -> str:
    formula = node.astext().strip()
    try:
        return "".join(latex2mathml.tex2mathml(formula, as_block=block).split("\n"))
    except (MathError, SyntaxError) as error:
        msg = f"{node.source}: the formula {formula!r} cannot be converted: {error}"
        raise SphinxError(msg) from error


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_converted(node, block=False))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{_converted(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
