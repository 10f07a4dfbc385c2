"""What is said of a gain that leaves less noise than photons must have."""

from __future__ import annotations


def gain_doubted(share: float, of: str, gain_adu_per_e: float, suggested: str) -> str:
    """In plain words.

    Args:
        share: the noise found over the noise expected.
        of: what was expected.
        gain_adu_per_e: the gain that the movie was opened with.
        suggested: the gain that the noise speaks for, ADU per photoelectron.
    """
    return (
        f"The frames vary less than their photons must: {100 * share:.0f} % of {of} at a gain of {gain_adu_per_e:.4g} "
        "ADU per photoelectron. The gain is wrong, or frames were averaged or denoised; the noise suggests --gain "
        f"{suggested}."
    )
