from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scssl._errors import InputError, KeyNotFoundError, told

if TYPE_CHECKING:
    from collections.abc import Iterable

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the input.

    Parameters
    ----------
    code
        Stable identifier in snake case, e.g. ``batch_missing_values``.
    parameter
        The argument of the user's call at fault, e.g. ``batch_key``.
    message
        What was given, what is wrong with it, with numbers and first offenders, what exists.
    fix
        What to do, if possible a line of code.
    severity
        `ERROR`: refused. `WARNING`: work goes on, the user is told once.
    missing
        Whether the problem is a name that does not exist (raised as :class:`~scssl.KeyNotFoundError`).
    """

    code: str
    parameter: str
    message: str
    fix: str = ""
    severity: str = ERROR
    missing: bool = False

    def of(self, modality: str, *, genes: bool = True) -> Problem:
        """The same problem, said of one modality of a MuData; `genes`: its features are genes."""
        message = self.message if genes else self.message.replace(" genes ", " features ")
        fix = self.fix.replace("adata", f"mdata.mod[{modality!r}]")
        return replace(self, message=f"Modality {modality!r}: {message}", fix=fix)

    def error(self) -> InputError:
        """The exception for this problem."""
        kind = KeyNotFoundError if self.missing else InputError
        return kind(self.message, code=self.code, parameter=self.parameter, fix=self.fix)


def enforce(problems: Iterable[Problem]) -> list[str]:
    """Raise the first error; warn about everything else and return those sentences for the record.

    Warnings are given only if there is no error, so that a refused call leaves no noise.
    """
    warnings = []
    for problem in problems:
        if problem.severity == ERROR:
            raise problem.error()
        warnings.append(f"{problem.message} {problem.fix}".strip())
    return told(*warnings)
