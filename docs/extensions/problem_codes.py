"""``.. problem-codes::``: every code that an error or warning can carry, read out of the source.

The sentence is the literal that stands nearest before the code in the same function; what is filled in at run time is
shown as an ellipsis.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from registry_pages import list_table
from sphinx.util.docutils import SphinxDirective

import scssl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

ROOT = Path(scssl.__file__).parent
ERRORS = {"InputError", "KeyNotFoundError", "NotFittedError", "TrainingError", "CheckpointError", "DownloadError"}
PROBLEM = ("code", "parameter", "message", "fix", "severity", "missing")


class Code(NamedTuple):
    """A code at one place of the source."""

    code: str
    raised: str
    parameter: str
    sentence: str


def _text(node: ast.AST | None) -> str:
    """A literal as text, with an ellipsis for whatever is not known before run time."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return _text(node.body)
    return "…"


def _codes(file: Path) -> Iterator[Code]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        assigned = sorted(
            (n.lineno, n.targets[0].id, n.value)
            for n in ast.walk(function)
            if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
        )  # fmt: skip
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)):
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            if call.func.id == "Problem":
                given |= dict(zip(PROBLEM, call.args, strict=False))
                warning = isinstance(given.get("severity"), ast.Name) and given["severity"].id == "WARNING"
                missing = "KeyNotFoundError" if "missing" in given else "InputError"
                raised = "ScsslWarning" if warning else missing
            elif call.func.id in ERRORS:
                given |= dict(zip(("message",), call.args, strict=False))
                raised = call.func.id
            else:
                continue
            if isinstance(given.get("code"), ast.Constant):
                sentence = _sentence(given.get("message"), call.lineno, assigned)
                parameter = given.get("parameter")
                yield Code(_text(given["code"]), raised, _text(parameter) if parameter else "", sentence)


def _sentence(node: ast.AST | None, line: int, assigned: list[tuple[int, str, ast.AST]]) -> str:
    """The text of a message: where it stands, or where its variable was assigned last before."""
    if isinstance(node, ast.Name):
        values = [value for at, name, value in assigned if name == node.id and at <= line]
        node = values[-1] if values else node
    text = re.sub(r"(…\s*)+", "… ", _text(node))
    return re.sub(r"… ([,.:;)])", r"…\1", text).strip()


def all_codes() -> list[Code]:
    """One entry per code, in alphabetical order; the longest sentence stands for a code used at several places."""
    best: dict[str, Code] = {}
    for file in sorted(ROOT.rglob("*.py")):
        for found in _codes(file):
            if found.code not in best or len(found.sentence) > len(best[found.code].sentence):
                best[found.code] = found
    return [best[code] for code in sorted(best)]


class ProblemCodes(SphinxDirective):
    """The table."""

    def run(self) -> list[nodes.Node]:
        """Parse the table as if it stood in the page."""
        rows = [
            [
                f"``{c.code}``",
                f":class:`~scssl.{c.raised}`",
                f"``{c.parameter}``" if c.parameter.strip("…") else "",
                _escaped(c),
            ]
            for c in all_codes()
        ]
        return self.parse_text_to_nodes(
            "\n".join(list_table(("code", "class", "parameter", "says"), rows, css="codes", widths="23 20 17 40"))
        )


def _escaped(code: Code) -> str:
    return "" if code.sentence == "…" else re.sub(r"([*`|_\\])", r"\\\1", code.sentence)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("problem-codes", ProblemCodes)
    return {"version": scssl.__version__, "parallel_read_safe": True, "parallel_write_safe": True}
