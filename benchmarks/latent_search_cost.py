"""What a search of 200 iterations costs on one thread: CPU seconds an image, at several batches and lengths of codes.

``python benchmarks/latent_search_cost.py``: a minute. The networks are untrained, which costs the same.
"""

from __future__ import annotations

import time

import torch
from tables import Table, store

from fluosr.generation.model import Knowledge, TrainedGenerator
from fluosr.latent.degradation import Bicubic
from fluosr.latent.flow import LatentFlow, fixed
from fluosr.latent.parameters import ABLATIONS, SearchParameters
from fluosr.latent.search import search
from fluosr.networks.restorer import in_channels_last

SIDE, FEATURES, CHANNELS, FACTOR, IMAGES = 64, 64, ["DNA", "actin", "tubulin"], 8, 8
ITERATIONS, TIMED = 200, 10  # what is told, and how many are timed
ANCHOR_S = 4.5  # another implementation, 64 px, 64 channels, one thread of another machine


def cpu_seconds(latent_features: int, batch: int, variant: str) -> float:
    """CPU seconds an image for 200 iterations, without what a search does but once."""
    known = Knowledge(SIDE, CHANNELS, [[0.0, 1.0]] * len(CHANNELS), latent_features, 2, FEATURES, None, 1, 1)
    network = known.build(torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    made = TrainedGenerator(in_channels_last(network), known)
    flow = fixed(LatentFlow(torch.Generator().manual_seed(1), latent_features))
    reduce = Bicubic(SIDE, FACTOR)
    coarse = reduce(made.samples(IMAGES, torch.Generator().manual_seed(2))).numpy()

    def seconds(iterations: int) -> float:
        values = ABLATIONS[variant] | {"iterations": iterations, "batch": batch, "start_codes": 100}
        started = time.process_time()
        search(made, flow, reduce, coarse, SearchParameters.model_validate(values))
        return time.process_time() - started

    seconds(1)
    return (seconds(1 + TIMED) - seconds(1)) / TIMED * ITERATIONS / IMAGES


def main() -> None:
    torch.set_num_threads(1)
    table = Table(
        "Search of 200 iterations on one thread",
        ["numbers of a code", "variant", "batch", "CPU s an image", "anchor, s"],
        f"{SIDE} px, {FEATURES} channels in every layer, 3 channels of the image, {FACTOR}x bicubic, a flow of 5 "
        f"transforms and 1024 hidden units; {TIMED} iterations timed. The anchor is another implementation's on "
        "another machine, its codes not said. CPU seconds: the machine had other work.",
    )
    for latent_features, variant, batch in (
        (128, "RLS", 8),
        (512, "RLS", 8),
        (512, "w/o p_w", 8),
        (512, "RLS", 1),
    ):
        table.rows.append(
            [latent_features, variant, batch, round(cpu_seconds(latent_features, batch, variant), 2), ANCHOR_S]
        )
    store("latent_search_cost", "Cost of a latent search", [table], torch=torch.__version__)


if __name__ == "__main__":
    main()
