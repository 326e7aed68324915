"""One registry for methods, views, tasks, metrics and data sets: adding one is adding a file or a function.

Built-ins are found by reading the source of their package, not by importing it: the keywords of a ``register``
decorator are literals, so a listing costs milliseconds and never imports torch. Look-up imports the one module asked for.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib
import importlib.metadata
import importlib.util
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from scssl._errors import InputError
from scssl._specs import DatasetSpec, MethodSpec, MetricSpec, TaskSpec, ViewSpec
from scssl._words import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from scssl._types import Json
    from scssl.methods._base import Method
    from scssl.tasks._base import Task
    from scssl.views._base import View


S = TypeVar("S", MethodSpec, ViewSpec, MetricSpec, TaskSpec, DatasetSpec)
T = TypeVar("T")
"""The kind of object that is registered."""
A = TypeVar("A")


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A registered thing: its description and where to import it from."""

    spec: S
    module: str
    attribute: str
    origin: str = "scssl"


class Registry(Generic[S, T]):
    """Names and descriptions of one kind of thing, looked up lazily.

    Parameters
    ----------
    kind
        The word used in messages.
    package
        Import name of the package whose files hold the built-ins.
    spec
        The description class; keywords of :meth:`register` are its fields.

    Notes
    -----
    Third parties add to a registry with the decorator, or with an entry point in the group named like the package
    (``scssl.methods``, ``scssl.metrics``, ...) whose value names the decorated object.
    """

    def __init__(self, kind: str, package: str, spec: type[S]) -> None:
        self.kind, self.package = kind, package
        self.spec: type[S] = spec
        self._objects: dict[str, T] = {}
        self._added: dict[str, Entry[S]] = {}
        self.broken: dict[str, str] = {}

    def register(self, name: str, /, **description: Any) -> Callable[[A], A]:
        """Decorator: file the object under `name`. Keywords are the fields of the description, as literals."""
        self._check_description(name, description)

        def add(thing: Any) -> Any:
            entry = self.spec(name=name, **description)
            known = self._added.get(name) or self._found.get(name)
            here = (thing.__module__, thing.__qualname__)
            if known and (known.module, known.attribute) != here:
                msg = f"A {self.kind} named {name!r} exists already: {known.module}.{known.attribute}."
                raise InputError(msg, code="name_clash", parameter="name", fix="Choose another name.")
            self._objects[name] = thing
            if not known:
                self._added[name] = Entry(entry, *here, origin=thing.__module__.partition(".")[0])
            thing.spec = entry
            return thing

        return add

    def names(self, pattern: str = "*") -> list[str]:
        """All names that fit a wildcard pattern."""
        return sorted(fnmatch.filter(self._entries(), pattern))

    def describe(self, name: str) -> S:
        """The description of `name`, without importing it."""
        return self._entry(name).spec

    def get(self, name: str) -> T:
        """The object called `name`; imports its module."""
        entry = self._entry(name)
        if name not in self._objects:
            self._objects[name] = getattr(importlib.import_module(entry.module), entry.attribute)
        return self._objects[name]

    def added(self) -> dict[str, T]:
        """Objects that were registered in this process and that another process would not find by name."""
        return {name: self._objects[name] for name in self._added}

    def adopt(self, things: Json) -> None:
        """Take over what :meth:`added` gave in another process."""
        for name, thing in things.items():
            if name not in self:
                self._objects[name] = thing
                self._added[name] = Entry(thing.spec, thing.__module__, thing.__qualname__, origin=thing.__module__)

    def table(self, pattern: str = "*") -> pd.DataFrame:
        """All descriptions as a frame indexed by name; the summary last, where a narrow terminal still shows it."""
        import pandas as pd

        derived = [name for name, of in vars(self.spec).items() if isinstance(of, property)]
        columns: list[str] = [f.name for f in fields(self.spec) if f.name != "summary"] + derived
        rows = [
            {**asdict(entry.spec), **{name: getattr(entry.spec, name) for name in derived}, "origin": entry.origin}
            for entry in map(self._entry, self.names(pattern))
        ]
        return pd.DataFrame(rows, columns=[*columns, "origin", "summary"]).set_index("name")

    def __contains__(self, name: object) -> bool:
        return name in self._entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _entries(self) -> dict[str, Entry[S]]:
        return {**self._plugins, **self._found, **self._added}

    def _entry(self, name: str) -> Entry[S]:
        entries = self._entries()
        if not isinstance(name, str) or name not in entries:
            raise unknown(self.kind, name, sorted(entries))
        return entries[name]

    def _check_description(self, name: str, description: Json) -> None:
        known = {f.name for f in fields(self.spec)}
        required = {f.name for f in fields(self.spec) if f.default is MISSING} - {"name"}
        wrong, missing = sorted(set(description) - known), sorted(required - set(description))
        if wrong or missing:
            msg = f"The description of {self.kind} {name!r} has unknown fields {wrong} and lacks {missing}."
            raise InputError(msg, code="bad_description", parameter="register")

    @cached_property
    def _found(self) -> dict[str, Entry[S]]:
        """The built-ins: every ``register`` decorator in the files of the package, and of the folders in it."""
        package = importlib.util.find_spec(self.package)
        folders = [] if package is None else list(package.submodule_search_locations or [])
        found: dict[str, Entry[S]] = {}
        folder: Path
        for folder in map(Path, folders):
            for file in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")]):
                for name, attribute, description in registered_in(file):
                    found[name] = Entry(self.spec(name=name, **description), self._module(folder, file), attribute)
        return found

    def _module(self, folder: Path, file: Path) -> str:
        """Import name of a file of the package."""
        inside: list[str] = [part for part in file.relative_to(folder).with_suffix("").parts if part != "__init__"]
        return ".".join([self.package, *inside])

    @cached_property
    def _plugins(self) -> dict[str, Entry[S]]:
        """Entry points of other distributions. One that cannot be read is kept in `broken`; the others work."""
        found: dict[str, Entry[S]] = {}
        for point in importlib.metadata.entry_points(group=self.package):
            try:
                description = self._read_plugin(point)
            except Exception as error:  # noqa: BLE001 - foreign code may fail in any way; it is reported, not hidden
                self.broken[point.name] = f"{type(error).__name__}: {error}"
                continue
            if point.name in self._found:
                self.broken[point.name] = f"the name is taken by scssl itself ({point.value})"
                continue
            origin = point.dist.name if point.dist else point.module
            found[point.name] = Entry(self.spec(name=point.name, **description), point.module, point.attr, origin)
        return found

    @staticmethod
    def _read_plugin(point: importlib.metadata.EntryPoint) -> Json:
        module = importlib.util.find_spec(point.module)
        if module is None or module.origin is None:
            msg = f"module {point.module} is not installed"
            raise ModuleNotFoundError(msg)
        for name, attribute, description in registered_in(Path(module.origin)):
            if name == point.name and attribute == point.attr:
                return description
        msg = f"{point.module} registers no {point.name!r} as {point.attr}"
        raise LookupError(msg)


def registered_in(file: Path) -> Iterator[tuple[str, str, Json]]:
    """``(name, attribute, description)`` of every ``@X.register("name", key=literal)`` in a source file."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        for mark in getattr(node, "decorator_list", []):
            if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "register":
                description = {k.arg: ast.literal_eval(k.value) for k in mark.keywords if k.arg}
                yield ast.literal_eval(mark.args[0]), node.name, description  # type: ignore[attr-defined]


METHODS: Registry[MethodSpec, type[Method]] = Registry("method", "scssl.methods", MethodSpec)
VIEWS: Registry[ViewSpec, type[View]] = Registry("view", "scssl.views", ViewSpec)
METRICS: Registry[MetricSpec, Callable[..., float]] = Registry("metric", "scssl.metrics", MetricSpec)
TASKS: Registry[TaskSpec, type[Task]] = Registry("task", "scssl.tasks", TaskSpec)
DATASETS: Registry[DatasetSpec, Callable[..., object]] = Registry("dataset", "scssl.datasets", DatasetSpec)
