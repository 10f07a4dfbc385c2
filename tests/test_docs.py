"""Everything a document shows is run: its Python blocks, its ``$ fluosr`` lines, and its links are followed.

The blocks of one file run in the order they stand in, in one namespace and one folder that holds a small ``movie.tif``
and nothing else. A block whose fence says ``no-run`` (```` ```bash no-run ````) is shown and not run.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fluosr.errors
from fluosr.errors import FluosrError
from fluosr.methods.registry import method_names
from tools.option_tables import between_marks, tables

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.is_file()]
MARKDOWN = [*DOCUMENTS, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md"))]
SHELLS = {"bash", "console", "sh", "shell"}
SECONDS_PER_COMMAND = 120


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        language: first word after the fence, "" where there is none.
        tags: the other words.
        line: number of the block's first line of text, from 1.
        text: what it holds.
    """

    language: str
    tags: tuple[str, ...]
    line: int
    text: str


def blocks_of(text: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order."""
    fence, words, start, body, indent = "", [""], 0, [], 0
    for number, line in enumerate(text.splitlines(), 1):
        opening = re.match(r"^( *)(`{3,}|~{3,})\s*([^`]*)$", line)
        if not fence and opening:
            indent, fence, words = len(opening[1]), opening[2], opening[3].split() or [""]
            start, body = number + 1, []
        elif fence and re.fullmatch(rf" *{re.escape(fence)}{re.escape(fence[0])}*\s*", line):
            yield Block(words[0].lower(), tuple(words[1:]), start, "\n".join(body) + "\n")
            fence = ""
        elif fence:
            body.append(line[indent:] if line[:indent].isspace() else line)
    if fence:
        raise ValueError(f"the block that starts on line {start} is never closed")


def commands_of(block: Block) -> Iterator[tuple[int, str]]:
    """(line number, command without its ``$``) of a shell block; a line that ends with a backslash goes on."""
    pending, begun = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line):
        if pending:
            pending += " " + line.strip().removeprefix("> ")
        elif line.startswith("$ "):
            pending, begun = line[2:], number
        elif line.lstrip().startswith("fluosr "):
            raise ValueError(f"line {number} would never be run: write '$ {line.strip()}', or tag the block no-run")
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip()
        elif pending:
            yield begun, pending
            pending = ""


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small film of four lines: 60 frames of 24 x 24 pixels of 100 nm, FWHM 324 nm, an ImageJ TIFF."""
    import tifffile

    from fluosr.simulate.argo import ArgoPhantom
    from fluosr.simulate.movie import SimulatedMovie

    phantom = ArgoPhantom(separations_nm=(300.0,), control=False, line_length_nm=1400.0, margin_nm=350.0)
    frames = np.stack(list(SimulatedMovie(phantom, n_frames=60, seed=1).frames()))
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    tifffile.imwrite(
        path,
        np.clip(np.rint(frames), 0, 2**16 - 1).astype(np.uint16),
        imagej=True,
        resolution=(10.0, 10.0),
        metadata={"axes": "TYX", "unit": "um", "finterval": 0.01},
    )
    return path


@pytest.fixture
def folder(tmp_path: Path, movie: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "movie.tif").write_bytes(movie.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def run_python(block: Block, path: Path, namespace: dict[str, Any]) -> None:
    padded = "\n" * (block.line - 1) + block.text  # so that a traceback names the document's own line
    exec(compile(padded, str(path), "exec"), namespace)


def run_command(command: str, where: str) -> None:
    program, *arguments = shlex.split(command, comments=True)
    assert program == "fluosr"
    code = "import sys; sys.argv[0] = 'fluosr'; from fluosr.cli import main; sys.exit(main())"
    source = str(Path(inspect.getfile(fluosr.errors)).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_PER_COMMAND,
        env={**os.environ, "PYTHONPATH": source},
        check=False,
    )
    assert done.returncode == 0, f"{where}: $ {command}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_shows_works(path: Path, folder: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(path.read_text(encoding="utf-8")):
        if "no-run" in block.tags:
            continue
        if block.language == "python":
            run_python(block, path, namespace)
        elif block.language in SHELLS:
            for line, command in commands_of(block):
                if re.match(r"fluosr(\s|$)", command):
                    run_command(command, f"{path.name}:{line}")


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^(```+).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (path.parent / target).exists()] == []


def test_every_error_is_explained_with_its_exit_code() -> None:
    text = (ROOT / "docs" / "bad-input.md").read_text(encoding="utf-8")
    for name, error in vars(fluosr.errors).items():
        if isinstance(error, type) and issubclass(error, FluosrError) and error is not FluosrError:
            assert re.search(rf"\|.*`{name}`.*\| {error.exit_code} \|", text), f"{name} ({error.exit_code})"


@pytest.mark.parametrize(("path", "wanted"), tables().items(), ids=lambda value: getattr(value, "stem", ""))
def test_the_tables_of_options_are_those_of_the_command_line(path: Path, wanted: str) -> None:
    assert path.is_file(), f"every method has a page: {path.relative_to(ROOT)}"
    found = between_marks(path.read_text(encoding="utf-8"))
    assert found == wanted, f"run python tools/option_tables.py: {path.relative_to(ROOT)} should say:\n\n{wanted}\n"


def test_the_index_lists_every_method() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\(methods/([a-z-]+)\.md\)", text)) | {"fluogan"}
    assert listed == set(method_names())


def test_the_design_constants_are_those_of_the_source() -> None:
    text = (ROOT / "docs" / "fluogan.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+\.[A-Z_]+`(?:, )?)+) \| ([\d., ]+) \|", text, re.MULTILINE)
    assert len(rows) >= 8
    for names, values in rows:
        constants: list[float] = []
        for module, name in re.findall(r"`(\w+)\.([A-Z_]+)`", names):
            room = "optics" if module == "sampling" else "methods.fluogan"
            found = getattr(importlib.import_module(f"fluosr.{room}.{module}"), name)
            constants += found if isinstance(found, tuple) else [found]
        assert [float(value) for value in values.split(",")] == constants, names


def test_the_preset_of_the_paper_is_described_as_it_is() -> None:
    from fluosr.methods.fluogan.parameters import PAPER, FluoganParameters

    text = (ROOT / "docs" / "fluogan.md").read_text(encoding="utf-8")
    rows = dict(
        re.findall(r"^\| (factor L|batch B, rate of Adam|iterations with discriminator) \| (.*?) \|", text, re.M)
    )
    assert rows == {
        "factor L": str(PAPER["factor"]),
        "batch B, rate of Adam": f"{PAPER['batch']}, 1e-6",
        "iterations with discriminator": str(PAPER["adversarial_iterations"]),
    }
    assert PAPER["discriminator_rate"] == 1e-6
    defaults = FluoganParameters()
    stated = f"learning rate {defaults.discriminator_rate}, and {defaults.adversarial_iterations} rounds, by default"
    assert stated in " ".join(text.split())


def test_blocks_are_found_with_their_line_and_tags() -> None:
    text = "a\n```python\nx = 1\n```\n\n````bash no-run\n```\n````\n~~~\nplain\n~~~\n"
    assert list(blocks_of(text)) == [
        Block("python", (), 3, "x = 1\n"),
        Block("bash", ("no-run",), 7, "```\n"),
        Block("", (), 10, "plain\n"),
    ]


def test_commands_are_joined_over_lines_and_output_is_left_out() -> None:
    block = Block("console", (), 5, "$ fluosr info \\\n    movie.tif\n60 frames\n$ ls\n")
    assert list(commands_of(block)) == [(5, "fluosr info movie.tif"), (8, "ls")]


def test_a_command_without_its_dollar_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="would never be run"):
        list(commands_of(Block("bash", (), 1, "fluosr info movie.tif\n")))


def test_a_failing_block_is_named_by_its_line(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        run_python(Block("python", (), 7, "1 / 0\n"), Path("page.md"), {})
    assert raised.traceback[-1].lineno == 6  # counted from 0
