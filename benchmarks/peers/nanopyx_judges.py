"""NanoPyx's figures for the arrays of a folder, as JSON; run in its own environment by ``judges_agreement.py``.

``python nanopyx_judges.py read OUT FILE.nd2 ...`` hands the images over as ``OUT/NAME.npy`` with their pixel size.
``python nanopyx_judges.py judge FOLDER`` does what ``FOLDER/tasks.json`` asks and writes ``FOLDER/answers.json``.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np


def read(out: Path, *files: str) -> None:
    import nd2

    sizes = {}
    for name in files:
        with nd2.ND2File(name) as image:
            np.save(out / f"{Path(name).stem}.npy", np.asarray(image.asarray(), np.float32))
            sizes[Path(name).stem] = 1000.0 * image.voxel_size().x
    (out / "pixel_sizes_nm.json").write_text(json.dumps(sizes))


def judge(folder: Path) -> None:
    from nanopyx.core.analysis.decorr import DecorrAnalysis
    from nanopyx.core.analysis.frc import FIRECalculator
    from nanopyx.core.analysis.parameter_sweep import ParameterSweep
    from nanopyx.core.transform.error_map import ErrorMap

    def load(name: str) -> np.ndarray:
        return np.load(folder / f"{name}.npy").astype(np.float32)

    tasks, answers = json.loads((folder / "tasks.json").read_text()), {}
    for key, task in tasks.items():
        if task["judge"] == "frc":
            calculator = FIRECalculator(pixel_size=task["pixel_size_nm"], units="nm")
            answers[key] = float(calculator.calculate_fire_number(load(task["first"]), load(task["second"])))
        elif task["judge"] == "decorrelation":
            analysis = DecorrAnalysis(pixel_size=task["pixel_size_nm"], units="nm")
            analysis.run_analysis(load(task["image"]))
            answers[key] = float(analysis.resolution)
        elif task["judge"] == "error map":
            errors = ErrorMap()
            errors.optimise(load(task["reference"]), load(task["image"]))
            reference, seen = (np.asarray(i, float) for i in (errors.img_ref, errors.im_sr_intensity_scaled_blurred))
            same = reference.shape == seen.shape
            answers[key] = {
                "rse": float(errors.getRSE()),
                "rsp": float(errors.getRSP()),
                "sigma_fine_px": float(errors.get_sigma()),
                "pearson": float(np.corrcoef(reference.ravel(), seen.ravel())[0, 1]) if same else None,
            }
        else:
            rsp, frc = np.asarray(task["rsp"]), np.asarray(task["frc_nm"])
            answers[key] = np.asarray(ParameterSweep().calculate_qnr_score(rsp, frc)).tolist()
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "read":
        read(Path(sys.argv[2]), *sys.argv[3:])
    else:
        judge(Path(sys.argv[2]))
