"""Measure folders of restored faces as the paper's Tables 1, 2 and 4 do.

python metrics/evaluate.py --gt CelebA-Test/hq --lq CelebA-Test/lq --method RestoreFormer=results/faces \\
    --reference ffhq_512.npz --dataset CelebA-Test --published --out evaluation
python metrics/evaluate.py --method Input@LFW-Test=LFW-Test --method RestoreFormer@LFW-Test=results/LFW-Test \\
    --reference ffhq_512.npz --published --out evaluation
python metrics/evaluate.py --gt CelebA-Test/hq --method exp1=results/exp1 --method Ours=results/ours \\
    --reference ffhq_512.npz --dataset CelebA-Test --published --ablation --out ablation

Every folder holds one image for each face, aligned, by the names that --gt has, or else any folder of its dataset.
Writes evaluation.md (also to stdout), .csv and .json, and faces.csv. A set with missing, surplus or broken faces is
told and not averaged, and the exit status is 1.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import restoreformer.metrics.identity_distance
import restoreformer.metrics.lpips_distance  # noqa: F401  (the three enter themselves into BasicSR's registry)
from restoreformer.device import choose_device
from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.collector import make_collector, needs_gt
from restoreformer.metrics.evaluation import Evaluation, evaluate
from restoreformer.metrics.evaluation_table import Report, markdown, write_report
from restoreformer.metrics.face_sets import FaceSet, NamedFolder, named_folder, read_face_set
from restoreformer.metrics.frechet_distance import calculate_fid
from restoreformer.metrics.protocol import protocol
from restoreformer.metrics.published import GT, INPUT, TABLE_4, variant
from restoreformer.options import check_metrics, read_options
from restoreformer.program import option_parser
from restoreformer.whole_file import make_folder

# The paper's, as option files write them under val: metrics.
METRICS: dict[str, dict[str, Any]] = {
    "fid": {"type": "calculate_fid"},
    "psnr": {"type": "calculate_psnr", "crop_border": 0, "test_y_channel": False},
    "ssim": {"type": "calculate_ssim", "crop_border": 0, "test_y_channel": False},
    "lpips": {"type": "calculate_lpips", "net": "vgg"},
    "idd": {"type": "calculate_idd", "network": "arcface_resnet18"},
}


def parser() -> argparse.ArgumentParser:
    """The program's options."""
    parser = option_parser(__doc__)
    add = parser.add_argument
    add("--gt", type=Path, help="folder of the true faces; without it metrics that need them are left out")
    add("--lq", type=Path, help=f"folder of the degraded faces, the row {INPUT}")
    add(
        "--method",
        type=named_folder,
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="restored faces; NAME@DATASET=DIR for a table of several datasets, which takes no --gt",
    )
    add("--out", type=Path, required=True, help="folder for the results")
    add("--dataset", default="", help="what to call the faces where there is one dataset")
    add("--reference", help="folder, LMDB or file of statistics for FID, if --metrics names none (default: --gt)")
    add("--metrics", type=Path, help="YAML with a block like val: metrics of option files (default: the paper's)")
    add("--published", action="store_true", help="the paper's rows beside one's own, for its datasets' names")
    add("--ablation", action="store_true", help=f"Table 4's layout; its rows are called {', '.join(TABLE_4)}")
    add("--device", help="cuda, mps or cpu (default: the best there is)")
    return parser


def metric_options(
    path: Path | None, reference: str | None, gt: Path | None
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The blocks of metrics to measure, by their names, and the names of those that are left out for want of truths.

    Raises:
        RestoreFormerError: not such a file, FID without anything to compare with, or a reference for nothing.
    """
    content: Any = METRICS if path is None else read_options(path)
    if isinstance(val := content.get("val"), Mapping):
        content = val.get("metrics")
    check_metrics("metrics" if path is None else f"{path}", content)
    blocks = {name: dict(block) for name, block in content.items()}
    open_ones = [n for n, b in blocks.items() if b["type"] == calculate_fid.__name__ and b.get("reference") is None]
    if reference is not None and not open_ones:
        raise RestoreFormerError(
            f"Expected a metric for --reference {reference}, got none that wants it: leave it out."
        )
    if open_ones and reference is None and gt is None:
        raise RestoreFormerError(f"Expected --reference or --gt for {open_ones[0]} to compare with, got neither.")
    for name in open_ones if reference is not None else ():
        blocks[name]["reference"] = reference
    left_out = [name for name, block in blocks.items() if gt is None and needs_gt(block)]
    return {name: block for name, block in blocks.items() if name not in left_out}, left_out


def rows(args: argparse.Namespace) -> list[tuple[str, str, FaceSet]]:
    """Method, dataset and faces of every row.

    Raises:
        RestoreFormerError: rows that do not go together, or a folder without faces.
    """
    given: list[NamedFolder] = list(args.method)
    if args.lq is not None:
        given.insert(0, NamedFolder(INPUT, args.lq))
    if args.gt is not None:
        given.append(NamedFolder(GT, args.gt))
    if not given:
        raise RestoreFormerError("Expected --method NAME=DIR, got no folder of faces: name one.")
    made: dict[tuple[str, str], FaceSet] = {}
    for name, folder in given:
        method, _, dataset = name.partition("@")
        if not method:
            raise RestoreFormerError(f"Expected NAME@DATASET=DIR, got {name}={folder}: name the method.")
        if (key := (method, dataset or args.dataset)) in made:
            raise RestoreFormerError(f"Expected a name of its own for each row, got {method} twice: rename one.")
        made[key] = read_face_set(folder)
    if args.ablation and (strange := {m for m, _ in made if variant(m) is None} - {INPUT, GT}):
        raise RestoreFormerError(
            f"Expected rows of Table 4 with --ablation, {', '.join(TABLE_4)} or these and more words, got "
            f"{min(strange)}: rename it."
        )
    datasets = sorted({dataset for _, dataset in made})
    if len(datasets) > 1 and args.gt is not None:
        raise RestoreFormerError(
            f"Expected one dataset with --gt, got {' and '.join(d or 'one without name' for d in datasets)}: name it "
            "by --dataset, or leave out --gt."
        )
    if len(datasets) > 1 and "" in datasets:
        without = next(method for method, dataset in made if not dataset)
        raise RestoreFormerError(
            f"Expected a dataset for each row, got {without} without: write {without}@DATASET=DIR."
        )
    return [(method, dataset, faces) for (method, dataset), faces in made.items()]


def of_all(dataset: str, sets: Sequence[tuple[str, str, FaceSet]]) -> FaceSet:
    """Every face that a folder of a dataset has: without truths, what each method should have."""
    files = {name: path for _, other, faces in sets if other == dataset for name, path in faces.files.items()}
    return FaceSet(Path(f"all folders of {dataset}" if dataset else "all folders"), dict(sorted(files.items())))


def reports(args: argparse.Namespace) -> Iterator[Report]:
    """What is known after each row.

    Raises:
        RestoreFormerError: options or metrics that do not go together, before anything is measured.
    """
    sets = rows(args)
    make_folder(args.out)
    device = choose_device(args.device)
    options, left_out = metric_options(args.metrics, args.reference, args.gt)
    collectors = [make_collector(block, device) for block in options.values()]
    if len(labels := {c.label for c in collectors}) < len(collectors):
        raise RestoreFormerError(f"Expected one metric of a kind, got {len(collectors)} of {', '.join(labels)}.")
    metrics = list(zip(options.values(), collectors, strict=True))
    gt = None if args.gt is None else read_face_set(args.gt)
    every = {dataset: of_all(dataset, sets) for _, dataset, _ in sets}
    done: list[Evaluation] = []
    for method, dataset, faces in sets:
        sys.stderr.write(f"measuring {method} {dataset}".rstrip() + "\n")
        done.append(evaluate(method, dataset, faces, gt or every[dataset], gt, collectors))
        yield Report(protocol(metrics, left_out, done, str(device)), tuple(done), args.published, args.ablation)


def main() -> None:
    args = parser().parse_args()
    report: Report | None = None
    try:
        for report in reports(args):
            write_report(report, args.out)
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")
    finally:
        # What was measured is not lost where it cannot be written, or where the next row is never done.
        if report is not None:
            sys.stdout.write(markdown(report))
    if report is not None and any(e.problem is not None for e in report.evaluations):
        sys.exit(1)


if __name__ == "__main__":
    main()
