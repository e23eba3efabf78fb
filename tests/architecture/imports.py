"""Who imports whom, and which of these imports must not be.

1. `read_imports` reads every import of a source tree: at the top of a module, inside a function,
   under `TYPE_CHECKING`, and a module's name as a string, which `import_module` and `python -m`
   take.
2. `module_circles` finds modules that import each other in a circle, `package_circles` folders
   that do, at every depth.
3. `wrong_ways` finds imports against the layers of `pyproject.toml`, and packages without a layer.

Names that are put together as the program runs are not seen.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from attrs import frozen

__all__ = [
    "Import",
    "faults",
    "layers_of",
    "module_circles",
    "package_circles",
    "read_imports",
    "wrong_ways",
]

_Edges = Mapping[str, set[str]]


@frozen(order=True)
class Import:
    """One module's use of another."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


# Reading -----------------------------------------------------------------------------------------


def read_imports(root: Path) -> list[Import]:
    """Read the imports between the modules of a package.

    Args:
        root: The package's folder.
    """
    modules = {_name(path, root): path for path in root.rglob("*.py")}
    found: set[Import] = set()
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in _targets(node, modules):
                if target != name:
                    found.add(Import(name, target, getattr(node, "lineno", 0)))
    return sorted(found)


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _targets(node: ast.AST, modules: Mapping[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom) and node.module in modules:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in modules else str(node.module)
    elif isinstance(node, ast.Constant) and node.value in modules and "." in str(node.value):
        yield str(node.value)


# Circles -----------------------------------------------------------------------------------------


def module_circles(imports: Iterable[Import]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others."""
    return _circles((each.importer, each.imported) for each in imports)


def package_circles(imports: Iterable[Import]) -> list[list[str]]:
    """Folders and modules of one folder that import each other, at every depth."""
    beside: dict[str, set[tuple[str, str]]] = {}
    for each in imports:
        one, other = each.importer.split("."), each.imported.split(".")
        pairs = enumerate(zip(one, other, strict=False))
        depth = next((place for place, (left, right) in pairs if left != right), None)
        if depth is not None:
            siblings = ".".join(one[: depth + 1]), ".".join(other[: depth + 1])
            beside.setdefault(".".join(one[:depth]), set()).add(siblings)
    return [circle for edges in beside.values() for circle in _circles(edges)]


def _circles(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Strongly connected parts of a graph, each sorted."""
    edges: dict[str, set[str]] = {}
    for one, other in pairs:
        edges.setdefault(one, set()).add(other)
        edges.setdefault(other, set())
    reach = {node: _reached(node, edges) for node in edges}
    parts = {
        tuple(sorted(other for other in reach[node] if node in reach[other]))
        for node in edges
        if node in reach[node]
    }
    return [list(part) for part in sorted(parts)]


def _reached(start: str, edges: _Edges) -> set[str]:
    """Everything that can be come to from a node, itself only by a way around."""
    found: set[str] = set()
    pending = [*edges[start]]
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending += edges[node]
    return found


# Layers ------------------------------------------------------------------------------------------


def layers_of(project: Path) -> list[list[str]]:
    """The layers of `pyproject.toml`, uppermost first; packages of one layer stand side by side."""
    linter = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = [each["layers"] for each in linter["contracts"] if each["type"] == "layers"]
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def wrong_ways(imports: Iterable[Import], layers: list[list[str]]) -> list[str]:
    """Imports that run up or sideways, and packages that have no layer."""
    ranks = {package: rank for rank, layer in enumerate(layers) for package in layer}
    wrong: list[str] = []
    for each in imports:
        one, other = _package(each.importer), _package(each.imported)
        if one == other or _is_open(one) or _is_open(other):
            continue
        if one not in ranks or other not in ranks:
            lost = one if one not in ranks else other
            wrong.append(f"{lost} has no layer in pyproject.toml")
        elif ranks[one] >= ranks[other]:
            wrong.append(f"{each}, which is not below it")
    return list(dict.fromkeys(wrong))


def _package(module: str) -> str:
    return ".".join(module.split(".")[:2])


#: Modules of the top folder: its face and the command's beginning may import all, the version may
#: be imported by all.
_OPEN = frozenset({"", "__main__", "version"})


def _is_open(package: str) -> bool:
    return package.partition(".")[2] in _OPEN


def faults(root: Path, layers: list[list[str]]) -> list[str]:
    """Everything that is wrong, a sentence each; nothing where all is well."""
    imports = read_imports(root)
    found = [*module_circles(imports), *package_circles(imports)]
    circles = [circle for index, circle in enumerate(found) if circle not in found[:index]]
    return [
        *(_told(circle, imports) for circle in circles),
        *wrong_ways(imports, layers),
    ]


def _told(circle: list[str], imports: list[Import]) -> str:
    def home(module: str) -> str | None:
        return next((n for n in circle if module == n or module.startswith(f"{n}.")), None)

    ties = [each for each in imports if home(each.importer) and home(each.imported)]
    inside = [str(each) for each in ties if home(each.importer) != home(each.imported)]
    return "\n  ".join([f"a circle of imports: {', '.join(circle)}", *inside])
