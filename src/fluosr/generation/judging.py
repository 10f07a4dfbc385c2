"""How far samples of a generator are from the crops: KID and FID by a named extractor."""

from __future__ import annotations

import numpy as np
import torch

from fluosr.generation.levels import to_grey
from fluosr.networks.stylegan2_generator import StyleGAN2Generator
from fluosr.quality.features import FeatureExtractor, RandomConvolutions
from fluosr.quality.frechet import frechet_distance, kernel_distance, score_name

AT_ONCE = 32  # samples


class SampleJudge:
    """Asks the same codes at every look, so that a change is the network's.

    Features are of grey values, those of the channels side by side.

    WARNING: the crops are among those learnt from: a generator that knows them by heart would score well.

    Args:
        crops: (N, C, R, R) grey values, of which ``count`` are drawn.
        levels: (C, 2).
        count: crops, and samples; 2 or more, 0 for no scores.
        latent_features: d.
        generator: of crops and codes, the processor's.
        extractor: gives features.
    """

    def __init__(
        self,
        crops: np.ndarray,
        levels: np.ndarray,
        count: int,
        latent_features: int,
        generator: torch.Generator,
        extractor: FeatureExtractor | None = None,
    ) -> None:
        self.levels, self.extractor = levels, extractor or RandomConvolutions()
        self.count = min(count, len(crops))
        picked = torch.randperm(len(crops), generator=generator)[: self.count].numpy()
        self.codes = torch.randn(self.count, latent_features, generator=generator)
        self.reference = self._features(crops[np.sort(picked)]) if self.count > 1 else None

    @property
    def names(self) -> tuple[str, str]:
        """What the two scores are called by."""
        kid, fid = (score_name(measure, f"{self.extractor.name}, n = {self.count}") for measure in ("KID", "FID"))
        return kid, fid

    def scores(self, network: StyleGAN2Generator) -> dict[str, float]:
        """``kid`` and ``fid``; nothing where there are fewer than two crops to compare."""
        if self.reference is None:
            return {}
        made = to_grey(made_of(network, self.codes), self.levels)
        features = self._features(made)
        # Sets of at most 1000 are compared whole: no subset is drawn.
        kid = kernel_distance(features, self.reference, generator=np.random.default_rng(0))
        return {"kid": kid.value, "fid": frechet_distance(features, self.reference)}

    def _features(self, images: np.ndarray) -> np.ndarray:
        return np.concatenate([self.extractor.features(images[:, c]) for c in range(images.shape[1])], 1)


@torch.no_grad()
def made_of(network: StyleGAN2Generator, codes: torch.Tensor) -> np.ndarray:
    """Images (N, C, R, R) in the network's range, of codes z (N, d), a few at a time."""
    parts = [network(part.to(network.mean_w)).float().cpu().numpy() for part in codes.split(AT_ONCE)]
    return np.concatenate(parts)
