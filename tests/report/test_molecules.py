"""The section on single molecules: true figures, the right frames, and tables of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.errors import ImageReadError
from fluosr.localisations import Localisations
from fluosr.optics.psf import GaussianPSF
from fluosr.report import molecules as section
from fluosr.report.molecules import molecules
from tests.report.test_page import reconstruction, render


class Watched(ArrayFrames):
    """Frames that remember which of them were read."""

    def read(self, indices: Sequence[int] | slice) -> np.ndarray:
        seen.append(indices)
        return super().read(indices)


seen: list[Any] = []


def movie(shape: tuple[int, int] = (30, 32), n_frames: int = 50, kind: type[ArrayFrames] = ArrayFrames) -> Acquisition:
    seen.clear()
    return Acquisition(kind(np.ones((n_frames, *shape), np.uint8)), 100.0, GaussianPSF(300.0), Camera())


def found(per_frame: dict[int, int], **known: Any) -> Localisations:
    frame = np.repeat(list(per_frame), list(per_frame.values()))
    x, y = np.random.default_rng(0).uniform(0.0, 3000.0, (2, len(frame)))
    return Localisations(frame, x, y, **known)


def test_figures_are_those_of_the_table() -> None:
    table = found({0: 1, 7: 2, 8: 2, 9: 5}, photons=np.arange(10.0) * 100, uncertainty_nm=np.full(10, 4.0))
    text = molecules(table, reconstruction(), movie())
    for cells in (
        ("Found", "10"),
        ("In a frame", "0.2", "on average over 50 frames; 5 at most"),
        ("Density", "0.0208"),  # 0.2 in 3.0 x 3.2 um
        ("Photons", "450", "median, of a molecule in a frame; 90 to 810 in the middle 80 %"),
        ("Background", "—", "not known"),
        ("Uncertainty", "4", "median, nm, standard deviation of either coordinate; 4 to 4 in the middle 80 %"),
    ):
        assert f'<th scope="row">{cells[0]}</th>' + "".join(f"<td>{cell}" for cell in cells[1:2]) in text
        assert all(cell in text for cell in cells)


def test_the_frames_are_a_typical_one_and_the_fullest_and_no_other_is_read() -> None:
    taken = movie(kind=Watched)
    text = molecules(found({3: 9, 7: 2, 8: 1, 30: 2, 31: 4}), reconstruction(), taken)
    assert seen == [[30], [3]]  # 1 2 2 4 9
    assert text.count("<img") == 2 and "with a ring of the PSF" in text


def test_frames_have_the_numbers_that_they_have_in_the_movie(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    draw = section.pictures.images
    monkeypatch.setattr(
        section.pictures, "images", lambda panels: (titles.extend(p.title for p in panels), draw(panels))[1]
    )
    part = movie().select(frames=range(10, 50, 2), window=(2, 2, 20, 20))
    molecules(found({0: 1, 4: 3}), reconstruction(), part)
    assert titles == ["Fullest frame 18: 3 found"]  # of two frames the upper is the middle one, and it is the fullest


def test_places_stay_in_their_pixels_where_a_part_of_the_field_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    panels: list[Any] = []
    draw = section.pictures.images
    monkeypatch.setattr(section.pictures, "images", lambda given: (panels.extend(given), draw(given))[1])
    frames = np.zeros((3, 80, 200), np.float32)
    table = Localisations([1] * 3, [15050.0, 15350.0, 950.0], [7050.0, 7250.0, 150.0])
    for x, y in ((150, 70), (153, 72), (9, 1)):
        frames[1, y, x] = 9.0
    taken = Acquisition(ArrayFrames(frames), 100.0, GaussianPSF(300.0), Camera())
    text = molecules(table, reconstruction((80, 200)), taken)
    (panel,) = panels
    assert panel.image.shape == (64, 64) and "The part with most molecules is shown" in text
    rows, columns = np.floor(panel.rings[:2] / 100.0).astype(int).T
    assert (panel.image[rows, columns] == panel.image.max()).all()


def test_of_a_stopped_run_only_the_frames_looked_at_count() -> None:
    text = molecules(found({0: 2, 9: 8}), reconstruction(finished=False), movie())
    assert "on average over 10 frames" in text


def test_drift_is_named() -> None:
    drifting = reconstruction(choices={"drift_px": {"value": {"rms": 1.0, "range": 2.0}, "why": "measured"}})
    assert "Drift was taken off the places" in molecules(found({0: 2}), drifting, movie())


def test_frames_that_cannot_be_read_again_cost_the_picture_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: ArrayFrames, indices: Sequence[int] | slice) -> np.ndarray:
        raise ImageReadError("the <drive> is gone.")

    monkeypatch.setattr(ArrayFrames, "read", gone)
    text = molecules(found({0: 2}), reconstruction(), movie())
    assert "No frame is shown: the &lt;drive&gt; is gone." in text


@pytest.mark.parametrize(
    "table",
    [
        found({0: 1}),
        found({49: 1}, photons=[0.0], uncertainty_nm=[0.0]),
        found({2: 3}, photons=[-5.0, np.nan, 1e30], uncertainty_nm=[np.inf, 1.0, 1.0]),
        Localisations([0, 5], [-900.0, 1e9], [-50.0, 1e9]),
        found(dict.fromkeys(range(0, 50, 2), 200), photons=np.full(5000, 7.0)),
    ],
    ids=["nothing known", "nothing", "wild", "outside the field", "many"],
)
def test_any_table_can_be_told_of(table: Localisations) -> None:
    text = molecules(table, reconstruction(), movie())
    assert text.count("<img") == 2 and "nan" not in text.split("<img")[0]


def test_the_page_has_the_section_where_there_are_molecules() -> None:
    _, parsed = render(reconstruction(localisations=found({2: 3}, photons=[-5.0, np.nan, 1e30])), movie())
    assert parsed.ids.index("zoom") < parsed.ids.index("molecules") < parsed.ids.index("residuals")
    assert "molecules" not in render(reconstruction(localisations=Localisations.none()), movie())[1].ids


def test_a_long_movie_is_drawn_in_two_hundred_steps() -> None:
    table = found(dict.fromkeys(range(0, 100_000, 50), 1))
    text = molecules(table, reconstruction(), movie((4, 4), 100_000))
    assert len(text) < 200_000 and "0.02" in text
