"""A hash of the code that a figure depends on: cells are cached under it, and run anew where that code has changed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import fluosr

SOURCE = Path(fluosr.__file__).parent
WORDS_ONLY = ("errors.py", "machine.py", "localisations.py")  # no figure of an image depends on them


def source_hash(*modules: str) -> str:
    """Of these modules (a package stands for all its files) and of whatever of the project they import.

    Comments and docstrings do not count: the syntax tree is what is hashed.

    Args:
        modules: full names, ``fluosr.methods.sofi``.
    """
    files = sorted(_closure(path for name in modules for path in _files(name)))
    code = "".join(f"{path.relative_to(SOURCE)}\n{_code(path)}\n" for path in files if path.name not in WORDS_ONLY)
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def _files(name: str) -> list[Path]:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(name)
    path = Path(found.origin)
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _closure(roots: Iterable[Path]) -> set[Path]:
    seen: set[Path] = set()
    todo = list(roots)
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += _imports(path)
    return seen


def _imports(path: Path) -> Iterator[Path]:
    for node in ast.walk(_tree(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith("fluosr."):
                place = SOURCE.joinpath(*name.split(".")[1:])
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists())


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _code(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return ast.dump(tree)
