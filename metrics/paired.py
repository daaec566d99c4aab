"""Two methods on the same faces: how they differ, whether by chance, and how that goes with the degradation.

python metrics/paired.py --faces results/table_1/faces.csv --method RestoreFormer --against Input \\
    --manifest datasets/CelebA-Test/manifest.csv --by blur_sigma --groups 4

Reads what metrics/evaluate.py and datasets/make_test_set.py wrote, and prints Markdown.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.evaluation_table import decimal
from restoreformer.metrics.markdown import heading, row
from restoreformer.program import option_parser

# The columns of faces.csv that are no metrics.
NO_METRICS = ("method", "dataset", "face")

Values = Mapping[str, NDArray[np.float64]]


class Pair(NamedTuple):
    """A metric of two methods, face by face.

    Attributes:
        mean, other: of the method, and of the one that it is held against.
        lower: share of the faces, 0 to 1, on which the method's value is the lower one.
        p: how likely differences so one-sided are by chance, where neither is the lower: Wilcoxon's signed-rank test
            (1945), two-sided.
    """

    mean: float
    other: float
    lower: float
    p: float


def pair(values: NDArray[np.float64], others: NDArray[np.float64]) -> Pair:
    """A metric of two methods, each ``(n,)``, in the same order of faces."""
    differ = bool((values != others).any())
    return Pair(
        float(values.mean()),
        float(others.mean()),
        float((values < others).mean()),
        float(wilcoxon(values, others).pvalue) if differ else 1.0,
    )


def read_faces(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Of faces.csv: by method and face, each metric that was measured.

    Raises:
        RestoreFormerError: not such a file, or one of several datasets.
    """
    lines = _read(path, NO_METRICS, "metrics/evaluate.py writes it")
    if len(datasets := sorted({line["dataset"] for line in lines})) > 1:
        raise RestoreFormerError(f"Expected one dataset in {path}, got {', '.join(datasets)}: evaluate each by itself.")
    found: dict[str, dict[str, dict[str, float]]] = {}
    for line in lines:
        values = {k: _number(v, path) for k, v in line.items() if k not in NO_METRICS and v}
        found.setdefault(line["method"], {})[line["face"]] = values
    return found


def read_strengths(path: Path, column: str) -> dict[str, float]:
    """Of a test set's manifest: by face, one of its columns.

    Raises:
        RestoreFormerError: not such a file, or without that column.
    """
    lines = _read(path, ("name", column), "datasets/make_test_set.py writes it")
    return {line["name"]: _number(line[column], path) for line in lines}


def _read(path: Path, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or ())
            lines = [line for line in reader if None not in line.values()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RestoreFormerError(f"Expected a table at {path}, could not read it ({error}): {remedy}.") from error
    if missing := [name for name in columns if name not in names]:
        there = ", ".join(names) or "nothing"
        raise RestoreFormerError(f"Expected the column {missing[0]} in {path}, got {there}: {remedy}.")
    return lines


def _number(text: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise RestoreFormerError(f"Expected numbers in {path}, got {text}.") from error


def of_method(found: Mapping[str, Mapping[str, Mapping[str, float]]], method: str, faces: Sequence[str]) -> Values:
    """Every metric of a method on ``faces``, in their order."""
    own = found[method]
    labels = [k for k in own[faces[0]] if all(k in own[face] for face in faces)]
    return {label: np.array([own[face][label] for face in faces]) for label in labels}


def grouped(strengths: Mapping[str, float], faces: Sequence[str], groups: int) -> Iterator[list[str]]:
    """The faces in ``groups`` as equal as can be, from the weakest to the strongest."""
    ordered = sorted(faces, key=lambda face: strengths[face])
    for part in np.array_split(np.arange(len(ordered)), groups):
        yield [ordered[i] for i in part]


def table(values: Values, others: Values, method: str, against: str) -> str:
    """All faces together, a line for each metric."""
    lines = heading(["metric", against, method, "ratio", f"{method} is lower", "p"])
    for label in (k for k in values if k in others):
        found = pair(values[label], others[label])
        lines += row(
            label,
            decimal(label, found.other),
            decimal(label, found.mean),
            f"{found.mean / found.other:.3f}" if found.other else "–",
            f"{found.lower:.0%}",
            f"{found.p:.1e}",
        )
    return lines


def main() -> None:
    parser = option_parser(__doc__)
    add = parser.add_argument
    add("--faces", type=Path, required=True, help="faces.csv of metrics/evaluate.py")
    add("--method", required=True, help="a row of it")
    add("--against", default="Input", help="another (default Input)")
    add("--manifest", type=Path, help="manifest.csv of the test set: the faces by strength of degradation too")
    add("--by", default="blur_sigma", help="column of the manifest to order by (default blur_sigma)")
    add("--groups", type=int, default=4, help="of equally many faces each (default 4)")
    args = parser.parse_args()
    try:
        sys.stdout.write(report(args.faces, args.method, args.against, args.manifest, args.by, args.groups))
    except RestoreFormerError as error:
        sys.exit(f"error: {error}")


def report(path: Path, method: str, against: str, manifest: Path | None, by: str, groups: int) -> str:
    """What the program prints.

    Raises:
        RestoreFormerError: methods, faces or groups that are not there.
    """
    found = read_faces(path)
    for name in (method, against):
        if name not in found:
            raise RestoreFormerError(f"Expected {name} among the methods of {path}, got {', '.join(found)}.")
    if found[method].keys() != found[against].keys():
        raise RestoreFormerError(f"Expected the same faces of {method} and {against} in {path}, got others.")
    faces = list(found[method])
    text = table(of_method(found, method, faces), of_method(found, against, faces), method, against)
    if manifest is None:
        return text
    strengths = read_strengths(manifest, by)
    if lacking := [face for face in faces if face not in strengths]:
        raise RestoreFormerError(f"Expected {lacking[0]} in {manifest}, found no line of it.")
    if not 1 <= groups <= len(faces):
        raise RestoreFormerError(f"Expected from 1 to {len(faces)} groups, got {groups}.")
    labels = [k for k in of_method(found, method, faces) if k in of_method(found, against, faces)]
    text += "\n" + heading([by, "faces", *(f"{label}: {against} → {method}" for label in labels)])
    for part in grouped(strengths, faces, groups):
        own, others = of_method(found, method, part), of_method(found, against, part)
        cells = [f"{decimal(k, float(others[k].mean()))} → {decimal(k, float(own[k].mean()))}" for k in labels]
        text += row(f"{strengths[part[0]]:.2f} to {strengths[part[-1]]:.2f}", str(len(part)), *cells)
    return text


if __name__ == "__main__":
    main()
