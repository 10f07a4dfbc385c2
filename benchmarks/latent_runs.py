"""What the tables of the latent search are made of: generators, flows, searches; each kept once it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from latent_data import EDITION, KEPT, AssayCrops, crops_of

from fluosr.generation.crops import TrainingCrops
from fluosr.generation.lesson import lesson_of as generator_lesson
from fluosr.generation.model import TrainedGenerator, load_generator
from fluosr.generation.parameters import GeneratorTraining
from fluosr.latent.bicubic import bicubic_images
from fluosr.latent.brgm import brgm_pixel
from fluosr.latent.degradation import Bicubic
from fluosr.latent.disturbances import with_blur, with_gaussian_noise, with_salt_and_pepper
from fluosr.latent.flow import LatentFlow
from fluosr.latent.flow_lesson import drawn_codes
from fluosr.latent.flow_lesson import lesson_of as flow_lesson
from fluosr.latent.flow_model import load_flow
from fluosr.latent.flow_parameters import FlowFitting
from fluosr.latent.gaussianisation import ElementwiseGaussian, check_norms
from fluosr.latent.parameters import ABLATIONS, BrgmParameters, PulseParameters, SearchParameters, UncertaintyParameters
from fluosr.latent.pix2pix import pix2pix
from fluosr.latent.pix2pix_lesson import lesson_of as pix2pix_lesson
from fluosr.latent.pix2pix_model import TrainedPix2Pix, load_pix2pix
from fluosr.latent.pix2pix_parameters import Pix2PixTraining
from fluosr.latent.pulse import pulse
from fluosr.latent.result import PlausibleImages
from fluosr.latent.search import search
from fluosr.latent.uncertainty import draw_plausible
from fluosr.learning import train_to_files, training_folder
from fluosr.methods.base import Run
from fluosr.methods.lesson import Lesson
from fluosr.methods.trained_model import model_paths
from fluosr.phenotypes.accuracy import judge_classifier
from fluosr.phenotypes.classification import train_classifier
from fluosr.phenotypes.crops import CropSet
from fluosr.phenotypes.effects import effect_size
from fluosr.phenotypes.features import CellMeasure
from fluosr.phenotypes.low_resolution import coarse_values, low_resolution
from fluosr.phenotypes.pixel_features import pixel_features
from fluosr.quality.blocks import BlockBrightness
from fluosr.quality.features import RandomConvolutions
from fluosr.quality.frechet import kernel_distance
from fluosr.quality.similarity import against_truth

FACTORS = (8, 16)
SEARCHES = ("RLS", "w/o regularisation", "w/o p_w", "w/o p_cross")
RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # the first is the paper's for the search
TRIED_ON = 6  # crops of the generator's wells, at the first factor
EXTRACTORS = (RandomConvolutions(), BlockBrightness())
DISTURBED = ("nothing", "Gaussian noise", "salt and pepper", "Gaussian blur")
NOISE, SALT_SHARE, BLUR_PX = 0.1, 0.02, 0.6  # of the range from -1 to 1; of the pixels; coarse pixels


@dataclass(frozen=True, eq=False)
class Size:
    """How large all of it is.

    Args:
        pixels: side of a crop.
        device: on which networks are trained and codes searched.
        training: of the generator.
        fitting: of the flow.
        pairs: of Pix2Pix, at each factor.
        cells: of the test wells that are searched for, in all.
        uncertain: cells whose intervals are fitted, and as many more that are judged.
        disturbed: cells of the robustness.
    """

    pixels: int = 64
    device: str = "cpu"
    training: dict[str, Any] = field(
        default_factory=lambda: {"features": 32, "latent_features": 128, "batch": 16, "images": 40_000, "look": 10_000}
    )
    fitting: dict[str, Any] = field(default_factory=lambda: {"epochs": 12, "hidden": 512})
    pairs: dict[str, Any] = field(default_factory=lambda: {"features": 16, "images": 20_000})
    cells: int = 64
    uncertain: int = 40
    disturbed: int = 16

    def key(self, *parts: object) -> str:
        """What a cell is cached under."""
        return " ".join(map(str, (EDITION, self.pixels, *parts)))

    def file(self, *parts: object) -> str:
        """A name for files."""
        return "-".join(map(str, (EDITION, self.pixels, *parts))).replace("/", "").replace(" ", "_")


CPU = Size()
GPU = Size(
    128,
    "cuda",
    {"features": 128, "latent_features": 512, "batch": 32, "images": 400_000, "look": 50_000},
    {"epochs": 20, "hidden": 1024},
    {"features": 64, "images": 200_000},
    128,
    80,
    32,
)


@dataclass(frozen=True)
class Bench:
    """One assay at one size: its crops and models.

    Args:
        assay: which.
        size: how large.
    """

    assay: str
    size: Size

    @property
    def crops(self) -> AssayCrops:
        """Cells of the assay."""
        return crops_of(self.assay, self.size.pixels)

    def generator(self) -> TrainedGenerator:
        """Trained on the first part of the wells, from its files where it was before."""
        return _generator(self)

    def pix2pix(self, factor: int) -> TrainedPix2Pix:
        """Trained on pairs of the same cells as the generator."""
        return _pix2pix(self, factor)

    def flow(self) -> LatentFlow:
        """On the generator's codes."""
        return _flow(self)

    @property
    def searched(self) -> CropSet:
        """The cells of test wells that are searched for: as many from each well, spread over it."""
        return spread(self.crops.test, self.size.cells)

    @property
    def others(self) -> np.ndarray:
        """(M, C, R, R) sharp cells that are not searched for, which distances are reckoned from."""
        mine = {tuple(place) for place in self.searched.places_px.tolist()}
        left = np.array([tuple(place) not in mine for place in self.crops.test.places_px.tolist()])
        return np.concatenate([self.crops.classified.pixels, self.crops.test.pixels[left]])

    @property
    def measure(self) -> CellMeasure:
        """How cells are measured: by the levels of the wells that the generator saw."""
        return CellMeasure.of(self.crops.learnt)


def spread(crops: CropSet, count: int) -> CropSet:
    """About ``count`` of the cells, evenly over wells and over each well; as many of both treatments."""
    names = {name: sorted(set(crops.wells[crops.treatments == name])) for name in sorted(set(crops.treatments))}
    picked = []
    for wells in names.values():
        each = max(1, count // (len(names) * len(wells)))
        for well in wells:
            mine = np.flatnonzero(crops.wells == well)
            picked += mine[np.linspace(0, len(mine) - 1, min(each, len(mine))).astype(int)].tolist()
    return crops.chosen(np.array(picked))


def classes(crops: CropSet) -> tuple[str, str]:
    """Control and condition."""
    return ("untreated", "treated") if "treated" in crops.treatments else ("negative", "positive")


def grey_levels(crops: CropSet) -> np.ndarray:
    """(C, 2) dark and bright."""
    return crops.levels.pairs


@cache
def _generator(bench: Bench) -> TrainedGenerator:
    name = KEPT / bench.size.file("generator", bench.assay)
    if not model_paths(name)[0].exists():
        given = GeneratorTraining.model_validate(bench.size.training)
        _train(bench, generator_lesson(_learnt_from(bench), given), name)
    made = load_generator(name)
    made.network.to(bench.size.device)
    return made


@cache
def _pix2pix(bench: Bench, factor: int) -> TrainedPix2Pix:
    name = KEPT / bench.size.file("pix2pix", bench.assay, factor)
    if not model_paths(name)[0].exists():
        given = Pix2PixTraining.model_validate(bench.size.pairs)
        _train(bench, pix2pix_lesson(_learnt_from(bench), Bicubic(bench.size.pixels, factor), given), name)
    return load_pix2pix(name)


def _learnt_from(bench: Bench) -> TrainingCrops:
    learnt = bench.crops.learnt
    return TrainingCrops.checked(learnt.pixels, learnt.channels, learnt.levels, learnt.pixel_size_nm)


def _train(bench: Bench, lesson: Lesson[Any], name: Path) -> None:
    """To its files; a training that was stopped goes on."""
    train_to_files(lesson, name, device=bench.size.device, resume=training_folder(name).is_dir())


@cache
def _flow(bench: Bench) -> LatentFlow:
    name = KEPT / bench.size.file("flow", bench.assay)
    if not model_paths(name)[0].exists():
        made = load_generator(KEPT / bench.size.file("generator", bench.assay))
        lesson = flow_lesson(made, FlowFitting.model_validate(bench.size.fitting))
        _train(bench, lesson, name)
    return load_flow(name).of(bench.generator()).to(bench.size.device)


def learning(bench: Bench) -> dict[str, Any]:
    """What the generator learnt, and how close its samples came to cells that it never saw."""
    made = bench.generator()
    count = min(500, len(bench.others))
    samples = made.samples(count, torch.Generator().manual_seed(1)).cpu().numpy()
    return {
        "log": (made.record or {}).get("log", []),
        "crops": made.knowledge.crops,
        "images": made.knowledge.images,
        "kid": distances(bench, samples),
        "kid_of_crops": distances(bench, bench.crops.learnt.pixels[:count]),
    }


def norms(bench: Bench) -> dict[str, Any]:
    """Squared norms of codes, raw, by PULSE's transform and by the flow."""
    made = bench.generator()
    drawn = torch.Generator().manual_seed(2)
    elementwise = ElementwiseGaussian.fitted(drawn_codes(made.network, 100_000, drawn))
    found = check_norms(made, bench.flow(), elementwise, torch.Generator().manual_seed(3))
    return {
        "distances": found.distances,
        "degrees": found.latent_features,
        "squared_norms": {name: values.round(2).tolist() for name, values in found.squared_norms.items()},
    }


def distances(bench: Bench, pixels: np.ndarray) -> dict[str, float]:
    """KID of cells (N, C, R, R) to those not searched for, by each extractor, channels side by side."""
    dark, bright = grey_levels(bench.crops.learnt).T[:, None, :, None, None]
    found = {}
    for extractor in EXTRACTORS:
        one, other = (
            np.concatenate([extractor.features(scaled[:, c]) for c in range(scaled.shape[1])], 1)
            for scaled in ((pixels - dark) / (bright - dark), (bench.others - dark) / (bright - dark))
        )
        found[extractor.name] = kernel_distance(one, other, generator=np.random.default_rng(0)).value
    return found


def coarse_of(bench: Bench, factor: int, pixels: np.ndarray) -> np.ndarray:
    """What a microscope with pixels ``factor`` times larger would have seen."""
    return Bicubic(bench.size.pixels, factor)(torch.from_numpy(pixels)).numpy()


def made_by(bench: Bench, method: str, factor: int, coarse: np.ndarray, rate: float | None) -> PlausibleImages:
    """Images of a method at a rate."""
    made, degradation = bench.generator(), Bicubic(bench.size.pixels, factor)
    run, values = Run(seed=0, device=bench.size.device), {} if rate is None else {"learning_rate": rate}
    if method == "bicubic":
        return bicubic_images(made, degradation, coarse)
    if method == "Pix2Pix":
        return pix2pix(bench.pix2pix(factor), degradation, coarse, run)
    if method == "PULSE":
        values["fit_codes"] = 100_000
        return pulse(made, degradation, coarse, PulseParameters.model_validate(values), run)
    if method == "BRGM (pixel)":
        return brgm_pixel(made, degradation, coarse, BrgmParameters.model_validate(values), run)
    parameters = SearchParameters.model_validate(ABLATIONS[method] | values)
    return search(made, bench.flow(), degradation, coarse, parameters, run)


def rate_of(bench: Bench, method: str) -> dict[str, Any]:
    """Which rate reaches the least objective on cells that the generator saw; the sharp cells are not asked."""
    chosen = spread(bench.crops.learnt, TRIED_ON)
    coarse = coarse_of(bench, FACTORS[0], chosen.pixels)
    reached = {}
    for rate in RATES:
        history = made_by(bench, method, FACTORS[0], coarse, rate).history
        assert history is not None
        reached[f"{rate:g}"] = float(np.min(history["loss"], 0).mean())
    return {"objective": reached, "rate": float(min(reached, key=reached.__getitem__))}


def found_by(bench: Bench, method: str, factor: int, rate: float | None) -> dict[str, Any]:
    """One method on the test cells at one factor, judged in every way; its images are kept."""
    cells = bench.searched
    coarse = coarse_of(bench, factor, cells.pixels)
    if method == "HR":
        pixels, misfit, seconds = cells.pixels, None, 0.0
    else:
        began = time.process_time()
        found = made_by(bench, method, factor, coarse, rate)
        seconds = (time.process_time() - began) / len(coarse)
        pixels, misfit = found.images, found.misfit.tolist()
    np.save(KEPT / f"{bench.size.file(bench.assay, method, factor)}.npy", pixels.astype(np.float32))
    return {"rate": rate, "misfit": misfit, "seconds": seconds, **judged(bench, cells, pixels)}


def judged(bench: Bench, cells: CropSet, pixels: np.ndarray) -> dict[str, Any]:
    """KID, likeness, features and effects of what a method shows for these cells."""
    levels, learns = grey_levels(bench.crops.learnt), bench.crops.classified
    likeness = [
        against_truth(pixels[:, c], cells.pixels[:, c], data_range=float(np.ptp(levels[c])), scales=3).metrics()
        for c in range(pixels.shape[1])
    ]
    names = classes(cells)
    table, effects = bench.measure.measure(pixels), {}
    for kind in bench.measure.features:
        values = bench.measure.as_compared(kind, table[kind.name])
        sides = [cells.treatments == name for name in names]
        if min(np.isfinite(values[side]).sum() for side in sides) < 2:
            effects[kind.name] = None
            continue
        found = effect_size(
            *(part for side in sides for part in (values[side], cells.wells[side])), generator=np.random.default_rng(0)
        )
        effects[kind.name] = found.hedges_g.describe() | {"auc": found.auc.interval.value}
    sees: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "features": lambda p: bench.measure.matrix(bench.measure.features, bench.measure.measure(p)),
        "pixels": pixel_features,
    }
    accuracies = {}
    for kind_of, see in sees.items():
        model = train_classifier(
            see(learns.pixels), learns.treatments, learns.wells, names, generator=np.random.default_rng(0)
        )
        accuracies[kind_of] = judge_classifier(
            model, see(pixels), cells.treatments, cells.wells, generator=np.random.default_rng(0)
        ).describe()
    return {
        "kid": distances(bench, pixels),
        "likeness": {name: np.mean([one[name] for one in likeness], 0).tolist() for name in likeness[0]},
        "features": {name: values.tolist() for name, values in table.items()},
        "effects": effects,
        "accuracies": accuracies,
    }


def seen_coarse(bench: Bench, factor: int) -> dict[str, Any]:
    """What a classifier reaches that learns on coarse pictures, and sees nothing else."""
    learns, cells = bench.crops.classified, bench.searched
    names = classes(cells)
    seen = {"pixels": [pixel_features(low_resolution(crops, factor).pixels) for crops in (learns, cells)]}
    coarse = [coarse_values(crops, factor) for crops in (learns, cells)]
    if coarse[0] is not None and coarse[1] is not None:
        seen["coarse grey values"] = [coarse[0], coarse[1]]
    found = {}
    for kind, (known, new) in seen.items():
        model = train_classifier(known, learns.treatments, learns.wells, names, generator=np.random.default_rng(0))
        found[kind] = judge_classifier(
            model, new, cells.treatments, cells.wells, generator=np.random.default_rng(0)
        ).describe()
    return {"accuracies": found}


def disturbed(bench: Bench, what: str, factor: int, rate: float) -> dict[str, Any]:
    """A search for coarse cells that were altered besides; the search does not know."""
    cells = spread(bench.crops.test, bench.size.disturbed)
    clean = torch.from_numpy(coarse_of(bench, factor, cells.pixels))
    made, generator = bench.generator(), torch.Generator().manual_seed(0)
    levels = torch.from_numpy(made.levels.pairs.astype(np.float32))
    dark, bright = levels[:, 0, None, None], levels[:, 1, None, None]
    scaled = 2 * (clean - dark) / (bright - dark) - 1
    altered = {
        "nothing": lambda: scaled,
        "Gaussian noise": lambda: with_gaussian_noise(scaled, NOISE, generator),
        "salt and pepper": lambda: with_salt_and_pepper(scaled, SALT_SHARE, -1.0, 1.0, generator),
        "Gaussian blur": lambda: with_blur(scaled, BLUR_PX),
    }[what]()
    coarse = ((altered + 1) / 2 * (bright - dark) + dark).numpy()
    found = made_by(bench, "RLS", factor, coarse, rate)
    again = torch.from_numpy(coarse_of(bench, factor, found.images))
    off = (2 * (again - clean) / (bright - dark)).abs().mean((1, 2, 3))
    likeness = judged_likeness(bench, cells, found.images)
    np.save(KEPT / f"{bench.size.file(bench.assay, 'disturbed', what, factor)}.npy", found.images)
    np.save(KEPT / f"{bench.size.file(bench.assay, 'disturbed', what, factor)}-coarse.npy", coarse)
    return {"altered": (altered - scaled).abs().mean((1, 2, 3)).tolist(), "off": off.tolist(), "psnr": likeness}


def judged_likeness(bench: Bench, cells: CropSet, pixels: np.ndarray) -> list[float]:
    """PSNR of each cell, mean over channels."""
    levels = grey_levels(bench.crops.learnt)
    found = [
        against_truth(pixels[:, c], cells.pixels[:, c], data_range=float(np.ptp(levels[c])), scales=None).psnr_db
        for c in range(pixels.shape[1])
    ]
    return np.mean(found, 0).tolist()


def uncertain(bench: Bench, factor: int, rate: float, samples: int = 8) -> dict[str, Any]:
    """Features of several plausible images for each cell: of cells whose truth is known, and of test cells."""
    made, degradation = bench.generator(), Bicubic(bench.size.pixels, factor)
    found: dict[str, Any] = {}
    for part, crops in (("known", bench.crops.classified), ("test", bench.crops.test)):
        cells = spread(crops, bench.size.uncertain)
        coarse = coarse_of(bench, factor, cells.pixels)
        searched = SearchParameters.model_validate({"learning_rate": rate})
        run = Run(seed=0, device=bench.size.device)
        best = search(made, bench.flow(), degradation, coarse, searched, run)
        drawn = draw_plausible(
            made,
            bench.flow(),
            degradation,
            coarse,
            best,
            searched,
            UncertaintyParameters.model_validate({"samples": samples}),
            run,
        )
        np.save(KEPT / f"{bench.size.file(bench.assay, 'plausible', part, factor)}.npy", drawn.images[:4])
        table = bench.measure.measure(drawn.drawn.images)
        truth = bench.measure.measure(cells.pixels)
        kinds = {kind.name: kind for kind in bench.measure.features}
        found[part] = {
            "sigma": drawn.sigma.tolist(),
            "misfit": drawn.misfit.mean(1).tolist(),
            "features": {
                name: {
                    "drawn": bench.measure.as_compared(kinds[name], values).reshape(-1, samples).tolist(),
                    "truth": bench.measure.as_compared(kinds[name], truth[name]).tolist(),
                }
                for name, values in table.items()
            },
        }
    return found


def jobs(bench: Bench, kept: dict[str, dict[str, Any]]) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Keys and work of an assay, those that decide first."""
    key, assay = bench.size.key, bench.assay

    def rate(method: str) -> float | None:
        return None if method in ("bicubic", "Pix2Pix", "HR") else float(kept[key(assay, "rate", method)]["rate"])

    listed: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (key(assay, "generator"), partial(learning, bench)),
        (key(assay, "norms"), partial(norms, bench)),
    ]
    methods = ["RLS", "w/o regularisation", "PULSE", "BRGM (pixel)"]
    listed += [(key(assay, "rate", method), partial(rate_of, bench, method)) for method in methods]
    for factor in FACTORS:
        for method in ("HR", "bicubic", *methods, "Pix2Pix"):
            listed.append(
                (
                    key(assay, factor, method),
                    lambda method=method, factor=factor: found_by(bench, method, factor, rate(method)),
                )
            )
        listed.append((key(assay, factor, "LR"), partial(seen_coarse, bench, factor)))
    for method in SEARCHES[2:]:  # at the rate of the whole search
        listed.append(
            (
                key(assay, FACTORS[1], method),
                lambda method=method: found_by(bench, method, FACTORS[1], rate("RLS")),
            )
        )
    for factor in FACTORS:
        listed.append(
            (key(assay, factor, "uncertainty"), lambda factor=factor: uncertain(bench, factor, rate("RLS") or 0.0))
        )
    for what in DISTURBED:
        listed.append(
            (key(assay, "disturbed", what), lambda what=what: disturbed(bench, what, FACTORS[0], rate("RLS") or 0.0))
        )
    return listed
