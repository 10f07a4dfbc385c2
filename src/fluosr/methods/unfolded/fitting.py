"""The model that a user named, if it fits the movie."""

from __future__ import annotations

from fluosr.acquisition import Acquisition
from fluosr.errors import UsageError
from fluosr.methods.unfolded.model_file import load_model
from fluosr.methods.unfolded.network import UnfoldedGradient
from fluosr.methods.unfolded.parameters import UnfoldedParameters
from fluosr.methods.unfolded.physics import Physics
from fluosr.optics.psf import GaussianPSF

NO_MODEL = (
    "unfolded is a learned method: give --model NAME. To train one, put pairs of frames and truth (NAME.tif, "
    "NAME-truth.tif) into a folder and run: fluosr train unfolded FOLDER --pixel-size NM --fwhm NM --output NAME."
)


def fitting_model(acquisition: Acquisition, parameters: UnfoldedParameters) -> tuple[UnfoldedGradient, str]:
    """The network, and the fingerprint of its files.

    Raises:
        UsageError: no model was named, or it was trained for other physics than the movie's; says which.
        ModelError: see :func:`load_model`.
    """
    if parameters.model is None:
        raise UsageError(NO_MODEL)
    if not isinstance(acquisition.psf, GaussianPSF):
        raise UsageError(
            f"unfolded's models know a Gaussian PSF only; give --fwhm {acquisition.psf.fwhm_nm:.0f} instead of the PSF."
        )
    network, fingerprint = load_model(parameters.model)
    if network.physics.data_term == "kullback-leibler" and parameters.background == 0:
        raise UsageError(
            "this model compares frames by the Kullback-Leibler divergence, which needs a background above 0: leave "
            "--background out to have it estimated."
        )
    known = dict(acquisition.camera.certainty).get("read_noise_e", "given").startswith("given")
    data = Physics(
        fwhm_nm=acquisition.psf.fwhm_nm,
        pixel_size_nm=acquisition.pixel_size_nm,
        factor=parameters.factor or network.physics.factor,
        # A read noise that was only estimated is no reason to refuse.
        read_noise_e=acquisition.camera.read_noise_e if known else network.physics.read_noise_e,
        semi_blind=parameters.semi_blind,
    )
    said = network.physics.differences(data, network.fwhm_nm)
    if said:
        raise UsageError(
            f"the model {parameters.model} was trained for {'; '.join(said)}. Take a model for this microscope, or "
            "train one: fluosr train unfolded."
        )
    return network, fingerprint
