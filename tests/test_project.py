"""What holds the project together: one version, known pins, light imports, and rooms that import only upwards."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "fluosr"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# The rooms of the house: each imports from those before it and from itself, never from those after it.
ROOMS = (
    "errors",
    "machine",
    "optics",
    "camera",
    "emitters",
    "forward",
    "limits",
    "acquisition",
    "localisations",
    "reconstruction",
    "statistics",
    "solvers",
    "networks",
    "degradations",
    "corrections",
    "methods",
    "simulate",
    "quality",
    "phenotypes",
    "restoration",
    "generation",
    "latent",
    "io",
    "report",
    "checkpoint",
    "pipeline",
    "learning",
    "restoring",
    "settings",
    "comparison",
    "sweep",
    "progress",
    "demo",
    "doctor",
    "cli",
)
DOORS = ("__init__", "__main__")  # they open onto the whole house

# With the CPU build of torch their import fails, or they pull gigabytes.
FORBIDDEN = ("torchvision", "deepinv", "basicsr", "pyiqa", "piq", "lpips", "timm", "spandrel", "lightning")
HEAVY = ("torch", "scipy", "matplotlib", "numba", "tifffile", "imagecodecs", "h5py")


def requirements(*groups: str) -> list[Requirement]:
    project = PYPROJECT["project"]
    lines = list(project["dependencies"])
    for group in groups:
        lines += project["optional-dependencies"][group]
    return [found for found in map(Requirement, lines) if found.name != "fluosr"]


def constraints() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def python_files(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    # benchmarks/.peers holds the environments of other packages, where a benchmark has installed them.
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def test_the_version_is_one() -> None:
    import fluosr

    version = PYPROJECT["project"]["version"]
    assert fluosr.__version__ == version
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None and cited.group(1) == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("needed", requirements("picasso", "test", "dev"), ids=str)
def test_a_dependency_has_a_lower_bound_and_a_pin_that_meets_it(needed: Requirement) -> None:
    pins = constraints()
    assert canonicalize_name(needed.name) in pins, f"{needed.name} has no line in constraints.txt"
    assert {bound.operator for bound in needed.specifier} <= {">="}, "pyproject.toml keeps lower bounds only"
    (pin,) = pins[canonicalize_name(needed.name)].specifier
    assert needed.specifier.contains(pin.version)


def test_constraints_are_exact_and_carry_no_local_version() -> None:
    for pin in constraints().values():
        (bound,) = pin.specifier
        assert bound.operator == "==" and "+" not in bound.version and "*" not in bound.version, str(pin)


def test_forbidden_packages_are_neither_declared_nor_imported() -> None:
    declared = {
        canonicalize_name(found.name) for found in requirements("picasso", "test", "dev")
    } | constraints().keys()
    assert not declared & set(FORBIDDEN)
    for path in python_files("src", "tests", "benchmarks"):
        imported = {name.partition(".")[0] for name, _ in imports(path)}
        assert not imported & set(FORBIDDEN), path.relative_to(ROOT)


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("import fluosr", id="import fluosr"),
        pytest.param("from fluosr.cli import main; sys.argv = ['fluosr', '--help']; main()", id="fluosr --help"),
    ],
)
def test_heavy_packages_wait_until_they_are_used(statement: str) -> None:
    # Which modules were loaded tells the same on every machine, busy or not; seconds would not.
    code = f"""
import sys
try:
    {statement}
except SystemExit as end:
    assert not end.code, end.code
print("\\nloaded:", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[1:] == []


def imports(path: Path) -> list[tuple[str, bool]]:
    """(full name, is it only for the type checker) of everything that a file imports, anywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in only_types) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_name(path).split(".")
                keep = len(package) - node.level + (path.name == "__init__.py")
                base = ".".join([*package[:keep], *filter(None, [node.module])])
            found += [(f"{base}.{alias.name}", id(node) in only_types) for alias in node.names]
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", python_files("src"), ids=module_name)
def test_a_room_imports_only_rooms_above_it(path: Path) -> None:
    room = room_of(path)
    if room in DOORS:
        return
    assert room in ROOMS, f"{room} is a new room: give it its place in ROOMS, and in the plan of the house"
    for name, _ in imports(path):
        top, *rest = name.split(".")
        if top != "fluosr" or rest == ["__version__"]:
            continue
        assert rest and rest[0] in ROOMS, f"{name}: a room does not go through the front door; import the room itself"
        assert ROOMS.index(rest[0]) <= ROOMS.index(room), f"{room} imports {rest[0]}, which lies below it"


def test_the_front_door_opens_nothing_before_it_is_asked() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    eager = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module is not None]
    eager += [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    rooms = [name for name in eager if name.startswith("fluosr.")]
    assert set(rooms) <= {"fluosr.errors"}


def test_modules_never_import_in_a_circle() -> None:
    names = {module_name(path) for path in python_files("src")}
    graph: dict[str, set[str]] = {}
    for path in python_files("src"):
        if room_of(path) in DOORS:
            continue
        wanted = {name for name, only_types in imports(path) if not only_types}
        modules = {name if name in names else name.rpartition(".")[0] for name in wanted}
        graph[module_name(path)] = (modules & names) - {"fluosr", module_name(path)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def project_files() -> list[Path]:
    """The files git knows or would take; without git, all that are not hidden."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True,
        ).stdout.decode()  # fmt: skip
        return [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return [ROOT / path for path in files if not any(part.startswith(".") for part in path.parts[:-1])]


def test_no_file_names_a_place_on_the_machine_it_was_written_on() -> None:
    # Written in two parts, so that this file does not name them either.
    places = "|".join(("/" + "work/", "/" + "root/", "/" + "home/", "/" + "tmp/", "/" + "opt/", "/" + "Users/"))
    pattern = re.compile(rf"(?<![\w.<>{{}}/:-])(?:{places})\w")
    found = []
    for path in project_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(lines, 1)
            if pattern.search(line)
        ]
    assert found == []
