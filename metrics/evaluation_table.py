"""Evaluations in the layout of the paper's Tables 1, 2 and 4, as Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from restoreformer.metrics.evaluation import Evaluation
from restoreformer.metrics.markdown import heading, row
from restoreformer.metrics.published import ABLATION_METHODS, ABLATION_SOURCES, published, variant
from restoreformer.metrics.resampling import CONFIDENCE
from restoreformer.whole_file import whole_file

PUBLISHED = "published"
# Decimals, as the paper has them, where they are not 4.
DECIMALS = {"PSNR": 2, "FID": 2, "Fréchet": 2}
ARROWS = {"higher": "↑", "lower": "↓"}


class Report(NamedTuple):
    """All that is written.

    Attributes:
        protocol: what was measured with what, by heading; what was missing too.
        evaluations: of every method and dataset, in the order of the rows.
        with_published: whether the paper's rows stand beside them.
        ablation: whether they are rows of Table 4, by the first words of the methods' names.
    """

    protocol: Mapping[str, str]
    evaluations: Sequence[Evaluation]
    with_published: bool
    ablation: bool = False

    @property
    def datasets(self) -> list[str]:
        """In the order in which they came."""
        return list(dict.fromkeys(e.dataset for e in self.evaluations))

    @property
    def columns(self) -> dict[tuple[str, str], str]:
        """Dataset and metric of each column, and which values are better."""
        of_dataset: dict[str, dict[str, str]] = {dataset: {} for dataset in self.datasets}
        for e in self.evaluations:
            of_dataset[e.dataset] |= {label: f.better for label, f in e.figures.items()}
        return {(dataset, label): better for dataset, found in of_dataset.items() for label, better in found.items()}


def write_report(report: Report, folder: Path) -> None:
    """Write evaluation.md, .csv and .json, and faces.csv with the metrics of every single face.

    Raises:
        RestoreFormerError: they cannot be written there.
    """
    texts = {
        "evaluation.md": markdown(report),
        "evaluation.csv": _csv(report),
        "evaluation.json": _json(report),
        "faces.csv": _faces(report),
    }
    for name, text in texts.items():
        with whole_file(folder / name) as part:
            part.write_text(text, encoding="utf-8", newline="\n")


def markdown(report: Report) -> str:
    """The protocol, the table, and what is incomplete."""
    lines = "".join(f"- {name}: {told}\n" for name, told in report.protocol.items()) + "\n"
    columns, several = report.columns, len(report.datasets) > 1
    names = [f"{dataset} {label}" if several else label for dataset, label in columns]
    arrows = [ARROWS[better] for better in columns.values()]
    first = ["No. of exp.", *ABLATION_SOURCES, *ABLATION_METHODS] if report.ablation else ["Methods"]
    lines += heading([*first, *map("".join, zip(names, arrows, strict=True))])
    for method, cells in _published_rows(report).items():
        values = [decimal(label, cells[c]) if (c := (dataset, label)) in cells else "–" for dataset, label in columns]
        lines += row(f"{method} ({PUBLISHED})", *_design(report, method), *values)
    for method in dict.fromkeys(e.method for e in report.evaluations):
        own = {e.dataset: e for e in report.evaluations if e.method == method}
        lines += row(method, *_design(report, method), *(_cell(own.get(dataset), label) for dataset, label in columns))
    for e in report.evaluations:
        if e.problem is not None:
            lines += f"\nNot measured: {e.row}: {e.problem}\n"
    lines += f"\nIn brackets the {CONFIDENCE:.0%} interval, by resampling the faces.\n"
    return lines


def _design(report: Report, method: str) -> list[str]:
    """Table 4's marks for what a row fuses and how."""
    if not report.ablation:
        return []
    row_of_paper = variant(method)
    found = () if row_of_paper is None else (*row_of_paper.sources, row_of_paper.method)
    return ["✓" if name in found else "" for name in (*ABLATION_SOURCES, *ABLATION_METHODS)]


def _published_rows(report: Report) -> dict[str, dict[tuple[str, str], float]]:
    """The paper's figures in the report's columns, by method."""
    rows: dict[str, dict[tuple[str, str], float]] = {}
    for dataset, label in report.columns if report.with_published else ():
        for method, values in published(dataset, report.ablation).items():
            if label in values:
                rows.setdefault(method, {})[dataset, label] = values[label]
    return rows


def _cell(evaluation: Evaluation | None, label: str) -> str:
    if evaluation is None or label not in evaluation.figures:
        return "–" if evaluation is None or evaluation.problem is None else "incomplete"
    figure = evaluation.figures[label]
    value = decimal(label, figure.value)
    if not math.isfinite(figure.interval.low) or figure.interval.low == figure.interval.high:
        return value
    return f"{value} [{decimal(label, figure.interval.low)}, {decimal(label, figure.interval.high)}]"


def decimal(label: str, value: float) -> str:
    """A figure as the paper writes it."""
    if math.isinf(value):
        return "∞"
    return f"{value:.{DECIMALS.get(label.split()[0], 4)}f}"


def _csv(report: Report) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["method", "dataset", "faces", "metric", "value", "low", "high", "seconds", "source"])
    for method, cells in _published_rows(report).items():
        for (dataset, label), value in cells.items():
            rows.writerow([method, dataset, "", label, value, "", "", "", PUBLISHED])
    for e in report.evaluations:
        for label, f in e.figures.items():
            ends = [x if math.isfinite(x) else "" for x in f.interval]
            rows.writerow(
                [e.method, e.dataset, len(e.names), label, repr(f.value), *ends, round(f.seconds, 3), "measured"]
            )
        if e.problem is not None:
            rows.writerow([e.method, e.dataset, len(e.names), "", "", "", "", "", f"not measured: {e.problem}"])
    return text.getvalue()


def _json(report: Report) -> str:
    """JSON has no infinity: it is written as a string, and no interval as null."""

    def plain(value: float) -> float | str | None:
        return None if math.isnan(value) else value if math.isfinite(value) else "infinity"

    content = {
        "protocol": dict(report.protocol),
        "confidence": CONFIDENCE,
        "evaluations": [
            {
                "method": e.method,
                "dataset": e.dataset,
                "faces": len(e.names),
                "problem": e.problem,
                "reading_seconds": round(e.reading, 3),
                "figures": {
                    label: {
                        "value": plain(f.value),
                        "low": plain(f.interval.low),
                        "high": plain(f.interval.high),
                        "seconds": round(f.seconds, 3),
                    }
                    for label, f in e.figures.items()
                },
            }
            for e in report.evaluations
        ],
        PUBLISHED: [
            {"method": method, "dataset": dataset, "metric": label, "value": plain(value)}
            for method, cells in _published_rows(report).items()
            for (dataset, label), value in cells.items()
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _faces(report: Report) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    labels = list(dict.fromkeys(label for e in report.evaluations for label in e.of_faces))
    rows.writerow(["method", "dataset", "face", *labels])
    for e in report.evaluations:
        if e.of_faces:
            for i, name in enumerate(e.names):
                values = [repr(float(e.of_faces[label][i])) if label in e.of_faces else "" for label in labels]
                rows.writerow([e.method, e.dataset, name, *values])
    return text.getvalue()
