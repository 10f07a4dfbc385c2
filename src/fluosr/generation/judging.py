"""How far samples of a generator are from the crops: KID and FID by a named extractor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fluosr.networks.stylegan2_generator import StyleGAN2Generator
from fluosr.quality.blocks import BlockBrightness
from fluosr.quality.features import FeatureExtractor, RandomConvolutions
from fluosr.quality.frechet import frechet_distance, kernel_distance, score_name

KID, FID = "KID", "FID"
EXTRACTORS: tuple[FeatureExtractor, ...] = (RandomConvolutions(), BlockBrightness())
AT_ONCE = 32  # samples


class SampleJudge:
    """Asks the same codes at every look, so that a change is the network's.

    Features are of crops in units of their levels, 0 dark and 1 bright, those of the channels side by side.

    WARNING: the crops are among those learnt from: a generator that knows them by heart would score well.

    Args:
        crops: (N, C, R, R) in the network's range, of which ``count`` are drawn.
        count: crops, and samples; fewer than 2 for no scores.
        latent_features: d.
        generator: of crops and codes, the processor's.
        extractors: give features; by default one of texture and one of brightness.
    """

    def __init__(
        self,
        crops: np.ndarray,
        count: int,
        latent_features: int,
        generator: torch.Generator,
        extractors: Sequence[FeatureExtractor] = EXTRACTORS,
    ) -> None:
        self.count = min(count, len(crops))
        picked = torch.randperm(len(crops), generator=generator)[: self.count].numpy()
        self.codes = torch.randn(self.count, latent_features, generator=generator)
        self.extractors = extractors if self.count > 1 else ()
        chosen = crops[np.sort(picked)]
        self.references = [self._features(extractor, chosen) for extractor in self.extractors]

    def scores(self, network: StyleGAN2Generator) -> dict[str, float]:
        """KID and FID by each extractor, under names that say which; nothing where there is nothing to compare."""
        if not self.extractors:
            return {}
        made, found = made_of(network, self.codes), {}
        for extractor, reference in zip(self.extractors, self.references, strict=True):
            features = self._features(extractor, made)
            # Sets of at most 1000 are compared whole: no subset is drawn.
            kid = kernel_distance(features, reference, generator=np.random.default_rng(0))
            found[score_name(KID, extractor.name)] = kid.value
            found[score_name(FID, extractor.name)] = frechet_distance(features, reference)
        return found | {"n": float(self.count)}

    @staticmethod
    def _features(extractor: FeatureExtractor, images: np.ndarray) -> np.ndarray:
        grey = (images + 1) / 2
        return np.concatenate([extractor.features(grey[:, c]) for c in range(grey.shape[1])], 1)


@torch.no_grad()
def made_of(network: StyleGAN2Generator, codes: torch.Tensor) -> np.ndarray:
    """Images (N, C, R, R) in the network's range, of codes z (N, d), a few at a time."""
    parts = [network(part.to(network.mean_w)).float().cpu().numpy() for part in codes.split(AT_ONCE)]
    return np.concatenate(parts)
