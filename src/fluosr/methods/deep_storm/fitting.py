"""The model that a user named, if it fits the movie."""

from __future__ import annotations

from fluosr.acquisition import Acquisition
from fluosr.errors import UsageError
from fluosr.methods.deep_storm.model import TrainedDeepStorm, load_model
from fluosr.methods.deep_storm.parameters import DeepStormParameters

PIXEL_TOLERANCE, WIDTH_TOLERANCE = 0.02, 0.05  # relative
NO_MODEL = (
    "deep-storm is a learned method: give --model NAME. To train one on simulated frames of your microscope: fluosr "
    "train deep-storm --pixel-size NM --fwhm NM --photons N --output NAME."
)


def fitting_model(acquisition: Acquisition, parameters: DeepStormParameters) -> TrainedDeepStorm:
    """The model.

    Raises:
        UsageError: no model was named, or it was trained for another microscope than the movie's; says which.
        ModelError: see :func:`load_model`.
    """
    if parameters.model is None:
        raise UsageError(NO_MODEL)
    model = load_model(parameters.model)
    own, said = model.instrument, []
    pixel_nm, fwhm_nm = acquisition.pixel_size_nm, acquisition.psf.fwhm_nm
    if abs(pixel_nm / own.pixel_size_nm - 1.0) > PIXEL_TOLERANCE:
        said.append(f"pixels of {own.pixel_size_nm:.4g} nm (the data: {pixel_nm:.4g} nm)")
    if abs(fwhm_nm / own.fwhm_nm - 1.0) > WIDTH_TOLERANCE:
        said.append(f"a PSF with a FWHM of {own.fwhm_nm:.4g} nm (the data: {fwhm_nm:.4g} nm)")
    if parameters.factor not in (None, own.factor):
        said.append(f"a factor of {own.factor} (asked for: {parameters.factor})")
    if said:
        raise UsageError(
            f"the model {parameters.model} was trained for {'; '.join(said)}. Take a model for this microscope, or "
            "train one: fluosr train deep-storm."
        )
    return model
