"""Hundreds of damaged TIFFs: each is reconstructed, or refused with an ImageReadError, in bounded time and memory.

The files are read in a process of their own, so that a crash, a hang or a leak is seen and harms nothing. For more,
``python tests/io/test_damaged_tiffs.py 5000 1 [FOLDER]`` tries 5000 files of seed 1 and keeps offenders in FOLDER.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import fluosr
from fluosr.machine import peak_memory_mb

N_FILES = 600
SECONDS_PER_FILE = 10
MOST_MB = 1024
EXTREME = (0, 1, 2, 3, 7, 255, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
FACTS = {"pixel_size_nm": 100.0, "fwhm_nm": 300.0, "gain": 1.0, "offset": 0.0, "read_noise": 1.0}
QUICK = {"factor": 2, "iterations": 3, "sparsity": 0.7, "smoothness": 1.0, "halves": False}
TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 16: 8}


def sound_files() -> dict[str, bytes]:
    """Movies of 12 frames as different programs store them."""
    import tifffile

    generator = np.random.default_rng(5)
    frames = generator.poisson(20.0, (12, 20, 24)).astype(np.uint16)
    real = frames.astype(np.float32)

    def encoded(data: np.ndarray, *, pages: bool = False, writer: dict | None = None, **options) -> bytes:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer, **(writer or {})) as tif:
            if pages:
                for page in data:
                    tif.write(page, contiguous=False, metadata=None, description=None, **options)
            else:
                tif.write(data, **options)
        return buffer.getvalue()

    ome = {"axes": "TYX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "TimeIncrement": 0.05}
    return {
        "plain": encoded(frames, pages=True),
        "plain big-endian": encoded(frames, pages=True, writer={"byteorder": ">"}),
        "plain strips": encoded(frames, pages=True, rowsperstrip=3),
        "imagej": encoded(frames, writer={"imagej": True}, metadata={"axes": "TYX"}),
        "imagej big-endian": encoded(real, writer={"imagej": True, "byteorder": ">"}, metadata={"axes": "TYX"}),
        "shaped": encoded(frames, metadata={"axes": "TYX"}),
        "ome": encoded(frames, writer={"ome": True}, metadata=ome),
        "ome deflate": encoded(frames, writer={"ome": True}, metadata=ome, compression="zlib"),
        "bigtiff": encoded(frames, pages=True, writer={"bigtiff": True}),
        "bigtiff ome tiled": encoded(
            real, writer={"ome": True, "bigtiff": True}, metadata=ome, tile=(16, 16), compression="zlib"
        ),
        "deflate predictor": encoded(frames, pages=True, compression="zlib", predictor=2),
        "float predictor": encoded(real, pages=True, compression="zlib", predictor=3),
        "lzw": encoded(frames, pages=True, compression="lzw", rowsperstrip=7),
        "zstd": encoded(frames, pages=True, compression="zstd"),
        "lzma": encoded(frames, pages=True, compression="lzma"),
        "packbits": encoded(frames.astype(np.uint8), pages=True, compression="packbits"),
        "jpeg": encoded(frames.astype(np.uint8), pages=True, compression="jpeg"),
        "jpeg 2000": encoded(frames, pages=True, compression="jpeg2000"),
        "tiled": encoded(frames, pages=True, tile=(16, 16)),
    }


class Directory:
    """Where the entries of each directory of a sound TIFF lie."""

    def __init__(self, data: bytes) -> None:
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = struct.unpack(self.order + "H", data[2:4])[0] == 43
        count, self.entry, self.word = ("Q", 20, "Q") if self.big else ("H", 12, "I")
        self.links = [8 if self.big else 4]
        self.entries: list[int] = []
        while offset := self.unpack(data, self.word, self.links[-1]):
            n_tags = self.unpack(data, count, offset)
            start = offset + struct.calcsize(count)
            self.entries += [start + i * self.entry for i in range(n_tags)]
            self.links.append(start + n_tags * self.entry)

    def unpack(self, data: bytes, kind: str, offset: int) -> int:
        return struct.unpack_from(self.order + kind, data, offset)[0]

    def where(self, data: bytes, *tags: int) -> list[int]:
        return [entry for entry in self.entries if self.unpack(data, "H", entry) in tags]


def flip_bits(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    for _ in range(g.integers(1, 9)):
        data[g.integers(len(data))] ^= 1 << g.integers(8)


def flip_in_directories(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    for _ in range(g.integers(1, 5)):
        data[g.choice(d.entries) + g.integers(d.entry)] ^= 1 << g.integers(8)


def flip_in_head(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    for _ in range(g.integers(1, 4)):
        data[g.integers(min(len(data), 1200))] = g.integers(256)


def flip_in_pixels(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    """Most of a file is pixels: of real numbers it makes NaN, infinity and values that no camera gives."""
    for place in g.integers(len(data) // 8, len(data), size=200):
        data[place] ^= 1 << g.integers(8)


def truncate(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    del data[g.integers(len(data)) :]


def remove_or_insert(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    start, n = int(g.integers(len(data))), int(g.integers(1, 400))
    if g.integers(2):
        del data[start : start + n]
    else:
        data[start:start] = g.bytes(n)


def overwrite_block(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    start, n = int(g.integers(len(data))), int(g.integers(1, 300))
    block = [bytes(n), b"\xff" * n, g.bytes(n)][g.integers(3)]
    data[start : start + n] = block[: len(data) - start]


def edit_entry(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    for _ in range(g.integers(1, 4)):
        entry, field = int(g.choice(d.entries)), g.integers(4)
        if field == 0:
            struct.pack_into(
                d.order + "H", data, entry, int(g.choice([254, 256, 257, 258, 259, 270, 273, 277, 279, 317, 322]))
            )
        elif field == 1:
            struct.pack_into(d.order + "H", data, entry + 2, int(g.integers(0, 20)))
        else:
            _set_word(data, d, entry + (4 if field == 2 else d.entry - struct.calcsize(d.word)), int(g.choice(EXTREME)))


def _set_word(data: bytearray, d: Directory, offset: int, value: int) -> None:
    if d.big and value == 2**32 - 1:
        value = 2**64 - 1
    struct.pack_into(d.order + d.word, data, offset, value)


def _edit_tags(*tags: int, values: tuple[int, ...] = EXTREME, everywhere: bool = False) -> Callable:
    def edit(data: bytearray, d: Directory, g: np.random.Generator) -> None:
        places = d.where(data, *tags) or d.entries
        value = int(g.choice(values))
        for entry in places if everywhere or g.integers(2) else [int(g.choice(places))]:
            struct.pack_into(d.order + "H", data, entry + 2, 4)
            _set_word(data, d, entry + d.entry - struct.calcsize(d.word), value)

    return edit


huge_dimensions = _edit_tags(256, 257, values=(10_000, 65_535, 65_536, 2**20, 2**31 - 1, 2**32 - 1), everywhere=True)
zero_dimensions = _edit_tags(256, 257, 278, 322, 323, values=(0,))
wrong_compression = _edit_tags(
    259, values=(0, 1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 34887, 34925, 50000, 50001, 65000)
)
wrong_sample = _edit_tags(258, 262, 266, 277, 284, 317, 339, values=(*range(9), 12, 16, 24, 32, 64, 128, 32803, 34892))
wrong_tiles = _edit_tags(278, 322, 323, 324, 325, 273, 279)


def wrong_counts(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    entry = int(g.choice(d.where(data, 258, 270, 273, 279, 324, 325) or d.entries))
    _set_word(data, d, entry + 4, int(g.choice((2, 100, 5000, 10**6, 2**28, 2**31, 2**32 - 1))))


def loop(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    targets = [d.unpack(data, d.word, link) for link in d.links[:-1]]
    _set_word(data, d, int(g.choice(d.links)), int(g.choice([*targets, 0, 2, 8, len(data) - 4])))


def swap_byte_order(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    data[:2] = b"MM" if data[:2] == b"II" else b"II"
    if g.integers(2):
        data[2:4] = data[2:4][::-1]
    if g.integers(2):
        data[4:8] = data[4:8][::-1]


def edit_text(data: bytearray, d: Directory, g: np.random.Generator) -> None:
    """A description with other digits or letters, or with very large numbers."""
    places = [i for i, byte in enumerate(data[:4000]) if byte in b"0123456789"]
    for _ in range(g.integers(1, 4)):
        place = int(g.choice(places))
        data[place : place + 1] = [b"9", b"0", b"-", b"x", b"99999999", b"4294967295", b"1e300"][g.integers(7)]


DAMAGES: tuple[Callable, ...] = (
    flip_bits, flip_in_directories, flip_in_head, flip_in_pixels, truncate, remove_or_insert, overwrite_block,
    edit_entry, huge_dimensions, zero_dimensions, wrong_compression, wrong_sample, wrong_tiles, wrong_counts, loop,
    swap_byte_order, edit_text,
)  # fmt: skip


def damaged_files(n: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(what was done to what, the file), ``n`` times; the same for the same seed."""
    bases = {name: (data, Directory(data)) for name, data in sound_files().items()}
    names = list(bases)
    for number in range(n):
        generator = np.random.default_rng([seed, number])
        name, damage = names[number % len(names)], DAMAGES[generator.integers(len(DAMAGES))]
        data, directory = bases[name]
        broken = bytearray(data)
        damage(broken, directory, generator)
        yield f"{name}: {damage.__name__} ({number})", bytes(broken)


def outcome(path: Path) -> str:
    """Opens the movie, reads all its frames, reconstructs it: "done", the name of the error, or what should not be."""
    from fluosr.errors import ImageReadError
    from fluosr.io.tiff import open_tiff

    try:
        opened = open_tiff(path, time_axis="any")
        n, height, width = opened.frames.shape
        for start in range(0, n, 4):
            frames = opened.frames.read(slice(start, start + 4))
            if frames.shape != (min(4, n - start), height, width) or frames.dtype != opened.frames.dtype:
                return f"WRONG {frames.shape} {frames.dtype}"
        movie = fluosr.open_movie(path, time_axis="any", **FACTS)
        image = fluosr.reconstruct(movie, device="cpu", **QUICK).image
        if image.shape != (2 * height, 2 * width) or not np.isfinite(image).all() or image.min() < 0:
            return f"WRONG {image.shape} from {image.min()} to {image.max()}"
    except ImageReadError as error:
        return type(error).__name__
    except BaseException as error:
        return f"WRONG {type(error).__name__}: {error}"
    return "done"


def try_all(n: int, seed: int, keep: Path | None = None) -> dict:
    """What became of each file, the offenders, and how much memory it took at most."""
    Path("warm").write_bytes(sound_files()["ome deflate"])
    outcome(Path("warm"))
    before = peak_memory_mb()
    counts: Counter[str] = Counter()
    wrong = []
    path = Path("damaged.tif")
    for name, data in damaged_files(n, seed):
        path.write_bytes(data)
        faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
        grown = peak_memory_mb()
        result = outcome(path)
        grown = peak_memory_mb() - grown
        faulthandler.cancel_dump_traceback_later()
        counts[result.split(":")[0]] += 1
        if result.startswith("WRONG") or grown > MOST_MB / 4:
            wrong.append(f"{name}: {result} (+{grown:.0f} MB)")
            if keep is not None:
                (keep / f"{len(wrong)}.tif").write_bytes(data)
    most = peak_memory_mb() - before
    return {"counts": counts, "wrong": wrong, "grown": most, "files": sum(counts.values())}


def test_damaged_tiffs_are_reconstructed_or_refused(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(N_FILES), "0"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(fluosr.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, f"crashed or hung:\n{run.stderr[-4000:]}"
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["files"] == N_FILES
    assert result["wrong"] == []
    assert result["grown"] < MOST_MB
    assert result["counts"]["done"] > N_FILES // 20, "some damage is harmless: else nothing but headers was tried"
    assert result["counts"]["ImageReadError"] > N_FILES // 3


def test_sound_files_are_read(tmp_path: Path) -> None:
    for name, data in sound_files().items():
        path = tmp_path / "sound.tif"
        path.write_bytes(data)
        assert outcome(path) == "done", name


if __name__ == "__main__":
    # Guards the machine: what takes this much dies here and is reported.
    resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30, 12 * 2**30))
    folder = Path(sys.argv[3]).absolute() if len(sys.argv) > 3 else None
    if folder is not None:
        os.chdir(tempfile.mkdtemp())
        folder.mkdir(exist_ok=True)
    print(json.dumps(try_all(int(sys.argv[1]), int(sys.argv[2]), folder)))
