"""Other people's programs, each in an environment of its own under ``benchmarks/.peers``, met by files only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BENCHMARKS = Path(__file__).resolve().parent
PEERS = BENCHMARKS / ".peers"
NANOPYX = ("nanopyx==2.1.5", "nd2==0.12.0")


class PeerUnavailable(Exception):
    """The environment of a peer could not be made; the message says why."""


def environment(requirements: Sequence[str], python: str = "python3.11") -> Path:
    """The interpreter of an environment that holds ``requirements``, made where it is missing.

    Args:
        requirements: for pip; the first names the environment.
        python: the interpreter to make it with, where there is one of that name.

    Raises:
        PeerUnavailable: no network, or no package for this machine.
    """
    folder = PEERS / requirements[0].replace("==", "-")
    interpreter = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        base = shutil.which(python) or sys.executable
        for command in (
            [base, "-m", "venv", str(folder)],
            [str(interpreter), "-m", "pip", "install", "-q", *requirements],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise PeerUnavailable((done.stderr.strip().splitlines() or ["no message"])[-1])
        (folder / "complete").touch()
    return interpreter


@dataclass(frozen=True, eq=False)
class Measured:
    """What a program took for its work, imports and compiling left out, and what it made of the frames."""

    cpu_s: float
    memory_mb: float
    image: np.ndarray


def measure(interpreter: str | Path, program: str, frames: np.ndarray, **settings: object) -> Measured:
    """Run ``benchmarks/peers/PROGRAM.py`` on (T, Y, X) frames in a process of its own, on one thread.

    The program is called with the paths of ``frames.npy`` and of ``result.npy`` to write, and the settings as JSON; it
    prints a line of JSON as ``peers/measured.py`` does.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "frames.npy", Path(folder) / "result.npy"
        np.save(given, frames)
        # A home of its own: some peers keep a diary of their timings there and choose by it.
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": folder, "PYTHONWARNINGS": "ignore"}
        surroundings.pop("PYTHONPATH", None)
        if str(interpreter) == sys.executable:
            surroundings["PYTHONPATH"] = str(BENCHMARKS.parent / "src")
        done = subprocess.run(
            [str(interpreter), str(BENCHMARKS / "peers" / f"{program}.py"), given, made, json.dumps(settings)],
            capture_output=True,
            text=True,
            env=surroundings,
            check=True,
        )
        return Measured(**json.loads(done.stdout.strip().splitlines()[-1]), image=np.load(made))
