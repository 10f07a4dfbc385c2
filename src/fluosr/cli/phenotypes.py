"""``fluosr crops`` and ``fluosr features``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluosr.cli.app import app
from fluosr.cli.options import Seed, folder_named
from fluosr.errors import UsageError
from fluosr.progress import ProgressBar


@app.command()
def crops(
    plate: Annotated[
        list[str],
        typer.Argument(
            help="a folder of TIFFs with plate.csv (file, well, treatment, split if wished), or files of wells with "
            "their treatment, such as negative.tif:untreated positive.tif:treated",
            metavar="PLATE...",
            show_default=False,
        ),
    ],
    *,
    nuclei: Annotated[
        str, typer.Option("--nuclei", help="channel of the nuclei: its number, from 0, or its name", show_default=False)
    ],
    protein: Annotated[
        str | None, typer.Option("--protein", help="channel to measure, likewise (default: the first other one)")
    ] = None,
    size: Annotated[int, typer.Option("--size", help="side of the crops, pixels: 32, 64, 128 or 256")] = 64,
    diameter: Annotated[
        float | None,
        typer.Option(
            "--diameter",
            min=4,
            help="usual nuclear diameter, pixels (default: 11 um where the files know their pixel size, else measured)",
        ),
    ] = None,
    channels: Annotated[
        str | None, typer.Option("--channels", help="names of the channels, parted by commas (default: the files')")
    ] = None,
    test_share: Annotated[
        float, typer.Option("--test-share", min=0, max=1, help="share of each treatment's wells set apart for tests")
    ] = 0.25,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the crops")
    ] = Path("crops"),
    seed: Seed = 0,
) -> None:
    """Cut out the cells of a plate: nuclei found, crops centred on them, wells split into training and test."""
    import numpy as np

    from fluosr.io.crop_sets import refuse_crops_in, write_crop_set
    from fluosr.io.plates import open_plate
    from fluosr.phenotypes.plate import cut_plate

    refuse_crops_in(output)
    names = () if channels is None else tuple(name.strip() for name in channels.split(","))
    opened = open_plate(plate, names)
    of_nuclei = opened.channel(nuclei)
    others = [number for number in range(len(opened.channels)) if number != of_nuclei]
    of_protein = others[0] if protein is None else opened.channel(protein)
    total = len(opened.fields)
    with ProgressBar() as bar:
        cut = cut_plate(
            opened,
            nuclei=of_nuclei,
            protein=of_protein,
            size_px=size,
            test_share=test_share,
            generator=np.random.default_rng(seed),
            diameter_px=diameter,
            done=lambda count: bar.progress("fields", count, total),
        )
    found = cut.crops
    write_crop_set(output, found, nuclei_found=sum(cut.found), seed=seed, test_share=test_share)
    said = f"{len(found)} of {sum(cut.found)} nuclei in {total} fields have a whole crop"
    typer.echo(f"Wrote {len(found)} crops of {size} x {size} pixels to {output}: {said}.")
    named = f"nuclei {found.channels[of_nuclei]}, protein {found.channels[of_protein]}"
    typer.echo(f"Channels: {named}; nuclear diameter {found.diameter_px:.3g} pixels.")
    ground = found.taken_ground
    told = f"from the empty ground of {ground.fields} fields" if ground.fields else "the dark end of all pixels"
    typer.echo(f"Background of {found.channels[of_protein]}: {ground.level[of_protein]:.4g} grey values, {told}.")
    for treatment in dict.fromkeys(found.treatments.tolist()):
        parts = []
        for split in ("train", "test"):
            mine = (found.treatments == treatment) & (found.splits == split)
            parts.append(f"{split} {len(np.unique(found.wells[mine]))} wells, {int(mine.sum())} cells")
        typer.echo(f"  {treatment}: {'; '.join(parts)}")
    for warning in cut.warnings:
        typer.echo(f"Note: {warning}", err=True)


@app.command()
def features(
    crops: Annotated[Path, typer.Argument(help="a set of crops, made by fluosr crops", show_default=False)],
    *,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against", help="another set of the same cells, as a method made them; may be given several times"
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option("--control", help="treatment to hold the others against (default: the first of crops.csv)"),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="cells to measure: all, train or test")] = "all",
    spot_threshold: Annotated[
        float | None,
        typer.Option("--spot-threshold", help="of spots, grey values above background (default: Otsu's in each cell)"),
    ] = None,
    classify: Annotated[
        bool, typer.Option("--classify/--no-classify", help="train classifiers and judge them on the test wells")
    ] = True,
    reduce: Annotated[
        list[int] | None,
        typer.Option(
            "--reduce",
            help="show beside them what the crops tell when they are reduced by this factor (2, 4, 8, ...), by "
            "classifiers that have learnt from such crops; may be given several times",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=folder_named, metavar="FOLDER", help="folder for the results")
    ] = Path("features"),
    seed: Seed = 0,
) -> None:
    """Measure cells (nucleus-to-ring ratio, spots, nuclear area) and say how far treatments lie apart, by wells."""
    import numpy as np

    from fluosr.io.crop_sets import read_crop_set
    from fluosr.phenotypes.comparison import compare_conditions
    from fluosr.report.phenotype_files import check_features_folder, effects_markdown, save_features

    if split not in ("all", "train", "test"):
        raise UsageError(f"--split {split}: take all, train or test.")
    name = crops.resolve().name
    others = {}
    for folder in against or []:
        label = folder.resolve().name
        if label == name or label in others:
            raise UsageError(f"two sets of crops are called {label}: rename one of the folders, they name the methods.")
        others[label] = read_crop_set(folder)
    if output.exists():  # before the work, and without a folder for what is refused later
        check_features_folder(output)
    found = compare_conditions(
        read_crop_set(crops),
        others,
        name=name,
        control=control,
        split=None if split == "all" else split,
        spot_threshold=spot_threshold,
        classify=classify,
        reduce=reduce or (),
        generator=np.random.default_rng(seed),
    )
    written = save_features(output, found)
    typer.echo(effects_markdown(found))
    typer.echo(f"Wrote {', '.join(str(path) for path in written)}")
