"""What a training wrote into its log."""

import re
from collections.abc import Sequence
from pathlib import Path

Row = dict[str, float]

_NUMBER = r"([-+.\deE]+)"


def read_log(folder: Path) -> str:
    """All logs of an experiment, one for each time that it was started or resumed, in order."""
    return "".join(path.read_text() for path in sorted(folder.glob("train_*.log")))


def losses(log: str, columns: Sequence[str]) -> list[Row]:
    """One row for each line of losses: its iteration, and the columns that it has. Of what was done twice, as a killed
    training's last iterations are, the last."""
    rows: dict[int, Row] = {}
    for line in log.splitlines():
        if found := re.search(r"iter:\s*([\d,]+), lr", line):
            iteration = int(found[1].replace(",", ""))
            values = {c: float(m[1]) for c in columns if (m := re.search(rf"\b{c}: {_NUMBER}", line))}
            rows[iteration] = {"iteration": iteration, **values}
    return [rows[i] for i in sorted(rows)]


def validations(log: str) -> list[Row]:
    """One row for each validation: the iteration of the losses before it, and every metric."""
    rows: dict[int, Row] = {}
    iteration = 0
    for line in log.splitlines():
        if found := re.search(r"iter:\s*([\d,]+), lr", line):
            iteration = int(found[1].replace(",", ""))
        elif found := re.match(rf"\s*# (\w+): {_NUMBER}", line):
            rows.setdefault(iteration, {"iteration": iteration})[found[1]] = float(found[2])
    return [rows[i] for i in sorted(rows)]
