"""The two-stage synthetic degradation of Real-ESRGAN, for images of one channel.

It was made for photographs that were blurred, resized, made noisy and compressed, twice. It knows nothing of scanning,
and its Poisson noise is that of bright images (:func:`fluosr.degradations.synthetic_noise.poisson_noise`): it stands
here as what a degradation from the physics is compared with.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from fluosr.degradations.draws import chosen, happens, uniform
from fluosr.degradations.jpeg import jpeg
from fluosr.degradations.kernels import (
    LOW_CUTOFF,
    KernelParameters,
    blur,
    check_probabilities,
    check_range,
    draw_sinc_kernels,
    sometimes,
)
from fluosr.degradations.resizing import MODES, resize
from fluosr.degradations.synthetic_noise import gaussian_noise, poisson_noise
from fluosr.errors import UsageError

EVEN_MODES = (1 / len(MODES),) * len(MODES)


@dataclass(frozen=True)
class StageParameters:
    """Blur, resizing, noise and JPEG of one stage; the defaults are those of the first.

    Args:
        kernels: how blur kernels are drawn.
        blur_probability: of any blur.
        resize_probabilities: to grow, to shrink, to stay.
        resize_range: smallest and largest factor; growing ones lie above 1, shrinking ones below.
        gaussian_probability: of Gaussian noise; else it is Poisson noise.
        gaussian_levels: standard deviation of Gaussian noise, grey levels of 255.
        poisson_scale: by which Poisson noise is multiplied.
        jpeg_quality: range.

    Raises:
        UsageError: probabilities or ranges that cannot be.
    """

    kernels: KernelParameters = field(default_factory=KernelParameters)
    blur_probability: float = 1.0
    resize_probabilities: tuple[float, float, float] = (0.2, 0.7, 0.1)
    resize_range: tuple[float, float] = (0.15, 1.5)
    gaussian_probability: float = 0.5
    gaussian_levels: tuple[float, float] = (1.0, 30.0)
    poisson_scale: tuple[float, float] = (0.05, 3.0)
    jpeg_quality: tuple[float, float] = (30.0, 95.0)

    def __post_init__(self) -> None:
        check_probabilities("growing, shrinking and staying", self.resize_probabilities, 3)
        for name in ("blur_probability", "gaussian_probability"):
            value = getattr(self, name)
            check_probabilities(name, (value, 1 - value), 2)
        for name in ("gaussian_levels", "poisson_scale", "jpeg_quality", "resize_range"):
            check_range(name, getattr(self, name), above=0.0)
        if not self.resize_range[0] <= 1 <= self.resize_range[1]:
            raise UsageError(f"resize_range lies on both sides of 1, got {self.resize_range}.")
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise UsageError(f"jpeg_quality lies between 1 and 100, got {self.jpeg_quality}.")

    def draw(self, count: int, generator: torch.Generator) -> DrawnStage:
        """One stage for so many images that share its resizing and its kind of noise."""
        grow, shrink = (
            uniform(1, r, generator).item() for r in ((1.0, self.resize_range[1]), (self.resize_range[0], 1.0))
        )
        gaussian = bool(happens(1, self.gaussian_probability, generator))
        sigmas = uniform(count, self.gaussian_levels, generator) / 255
        scales = uniform(count, self.poisson_scale, generator)
        return DrawnStage(
            kernels=sometimes(self.kernels.draw(count, generator), self.blur_probability, generator),
            factor=(grow, shrink, 1.0)[int(chosen(1, self.resize_probabilities, generator))],
            mode=MODES[int(chosen(1, EVEN_MODES, generator))],
            gaussian=gaussian,
            strengths=sigmas if gaussian else scales,
            qualities=uniform(count, self.jpeg_quality, generator),
        )


@dataclass(frozen=True, eq=False)
class DrawnStage:
    """What chance has made of one stage.

    Args:
        kernels: (B, 21, 21).
        factor, mode: of the resizing.
        gaussian: Gaussian noise, else Poisson noise.
        strengths: (B,), the standard deviations of the one or the scales of the other.
        qualities: (B,), of the JPEG.
    """

    kernels: torch.Tensor
    factor: float
    mode: str
    gaussian: bool
    strengths: torch.Tensor
    qualities: torch.Tensor

    def blurred_resized_noisy(
        self, images: torch.Tensor, base: tuple[int, int], antialias: bool, generator: torch.Generator
    ) -> torch.Tensor:
        """The stage up to its JPEG; ``base`` is the (Y, X) that the factor multiplies."""
        shape = (max(1, int(base[0] * self.factor)), max(1, int(base[1] * self.factor)))
        resized = resize(blur(images, self.kernels), shape, self.mode, antialias=antialias)
        noise = gaussian_noise if self.gaussian else poisson_noise
        return noise(resized, self.strengths, generator)


SECOND_STAGE = StageParameters(
    kernels=KernelParameters(sigma_px=(0.2, 1.5)),
    blur_probability=0.8,
    resize_probabilities=(0.3, 0.4, 0.3),
    resize_range=(0.3, 1.2),
    gaussian_levels=(1.0, 25.0),
    poisson_scale=(0.05, 2.5),
)


@dataclass(frozen=True)
class TwoStageParameters:
    """Every probability and range of the pipeline; the defaults are Real-ESRGAN's.

    Its noise is grey with probability .4 and else coloured, each channel with its own: on one channel both are the
    same, and nothing is drawn for it. Targets are not sharpened.

    Args:
        first, second: the stages.
        final_sinc_probability: of the sinc filter at the end.
        final_sinc_cutoff: lowest of its cut-offs, rad per pixel; they lie between it and pi.
        sinc_before_jpeg: probability that the last resizing and the sinc filter come before the last JPEG.
        antialias: of the interpolating resizings. The original's are not: where they shrink, they pass over pixels.

    Raises:
        UsageError: probabilities or ranges that cannot be.

    Source:
        X. Wang, L. Xie, C. Dong and Y. Shan, Real-ESRGAN, ICCV Workshops 2021, Fig. 2 and its published options.
    """

    first: StageParameters = StageParameters()
    second: StageParameters = SECOND_STAGE
    final_sinc_probability: float = 0.8
    final_sinc_cutoff: float = LOW_CUTOFF
    sinc_before_jpeg: float = 0.5
    antialias: bool = False

    def __post_init__(self) -> None:
        for name in ("final_sinc_probability", "sinc_before_jpeg"):
            value = getattr(self, name)
            check_probabilities(name, (value, 1 - value), 2)
        check_range("final_sinc_cutoff", (self.final_sinc_cutoff, math.pi), above=0.0)

    def describe(self) -> dict[str, Any]:
        """All of it, for the record."""
        return {"kind": type(self).__name__, **asdict(self)}


def two_stage(
    images: torch.Tensor,
    scale: int,
    generator: torch.Generator,
    parameters: TwoStageParameters = TwoStageParameters(),
    *,
    images_per_draw: int = 1,
) -> torch.Tensor:
    """High-resolution images -> low-resolution ones as the synthetic pipeline makes them.

    Blur, resize, noise and JPEG; blur, resize about the low-resolution size, noise; then, in random order, JPEG and
    the last resizing with the sinc filter; rounded to 8 bits.

    Args:
        images: (B, s Y, s X) float32, in [0, 1]; a low-resolution pixel covers s x s of these.
        scale: s.
        generator: of every draw; numbers are drawn on its device, and the work is done on the images'.
        parameters: probabilities and ranges.
        images_per_draw: so many images in turn share their resizings, kind of noise and order, and are worked on as
            one batch; all else is drawn for each image. The original shares them in the whole batch, and mixes its
            batches through a pool of 180 pairs to make up for it; with 1, images are independent.

    Returns:
        (B, Y, X) float32, in [0, 1].

    Raises:
        UsageError: images of another shape, kind or range, or sides that are not multiples of the scale.
    """
    _check(images, scale, images_per_draw)
    return torch.cat([_degrade(part, scale, generator, parameters) for part in images.split(images_per_draw)])


def _degrade(
    images: torch.Tensor, scale: int, generator: torch.Generator, parameters: TwoStageParameters
) -> torch.Tensor:
    count, height, width = images.shape
    low = (height // scale, width // scale)
    first = parameters.first.draw(count, generator)
    second = parameters.second.draw(count, generator)
    sinc = draw_sinc_kernels(count, parameters.final_sinc_probability, parameters.final_sinc_cutoff, generator)
    mode = MODES[int(chosen(1, EVEN_MODES, generator))]
    sinc_first = bool(happens(1, parameters.sinc_before_jpeg, generator))

    def resized(found: torch.Tensor) -> torch.Tensor:
        return blur(resize(found, low, mode, antialias=parameters.antialias), sinc)

    found = first.blurred_resized_noisy(images, (height, width), parameters.antialias, generator)
    found = jpeg(found, first.qualities)
    found = second.blurred_resized_noisy(found, low, parameters.antialias, generator)
    found = jpeg(resized(found), second.qualities) if sinc_first else resized(jpeg(found, second.qualities))
    return (found.clamp(0, 1) * 255).round() / 255


def _check(images: torch.Tensor, scale: int, images_per_draw: int) -> None:
    if images.ndim != 3 or images.dtype != torch.float32 or 0 in images.shape:
        raise UsageError(f"images to degrade are (B, Y, X) float32, got {tuple(images.shape)} {images.dtype}.")
    if scale < 1 or images.shape[1] % scale or images.shape[2] % scale:
        raise UsageError(
            f"images of {images.shape[1]} x {images.shape[2]} pixels do not divide into blocks of {scale} x {scale}: "
            "crop them to a multiple of the scale."
        )
    if images_per_draw < 1:
        raise UsageError(f"images_per_draw is at least 1, got {images_per_draw}.")
    low, high = images.aminmax()
    if not (low >= 0 and high <= 1):
        raise UsageError(
            f"images to degrade lie between 0 and 1, these between {float(low):g} and {float(high):g}: scale them."
        )
