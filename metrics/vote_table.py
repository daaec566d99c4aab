"""Votes counted, and written in the layout of the paper's Table 3."""

import csv
import io
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from scipy.stats import binomtest

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.markdown import heading, row
from restoreformer.metrics.study import Study
from restoreformer.metrics.votes import Answers
from restoreformer.whole_file import whole_file

CONFIDENCE = 0.95


class Share(NamedTuple):
    """A part of some votes in percent, with Wilson's interval at :data:`CONFIDENCE` for independent votes."""

    percent: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Two methods on a dataset: votes for each, and from how many participants."""

    dataset: str
    method: str
    other: str
    votes: int
    other_votes: int
    participants: int


class Result(NamedTuple):
    """All that the answers say.

    Attributes:
        methods: ours first.
        participants: files of answers of each dataset, and how many of them leave questions unanswered.
        comparisons: every pair that got votes.
        left, votes: how often the left picture was chosen, of all; far from half, participants did not look.
    """

    methods: tuple[str, ...]
    participants: dict[str, tuple[int, int]]
    comparisons: tuple[Comparison, ...]
    left: int
    votes: int


def share(votes: int, of: int) -> Share:
    """``votes`` of ``of`` (1 or more) in percent, with its interval."""
    interval = binomtest(votes, of).proportion_ci(CONFIDENCE, "wilson")
    return Share(100 * votes / of, 100 * float(interval.low), 100 * float(interval.high))


def count_votes(studies: Sequence[Study], answers: Sequence[Answers]) -> Result:
    """Count the votes of each study, which are columns of one table.

    Raises:
        RestoreFormerError: studies that have another method first, or the same dataset.
    """
    methods = tuple(dict.fromkeys(method for study in studies for method in study.methods))
    for study in studies:
        if study.methods[0] != methods[0]:
            raise RestoreFormerError(f"Expected {methods[0]} first in every study, got {study.methods[0]} in one.")
    if len({study.dataset for study in studies}) < len(studies):
        raise RestoreFormerError("Expected a --dataset of its own for each study of one table, two have the same.")
    comparisons, participants = [], {}
    for study in studies:
        own = [a for a in answers if a.study == study.token]
        participants[study.dataset] = (len(own), sum(len(a.votes) < a.asked for a in own))
        for method, other in combinations(study.methods, 2):
            # For each participant, whether ``method`` was the better.
            chosen = [[v.better == method for v in a.votes if {v.better, v.worse} == {method, other}] for a in own]
            votes, total = sum(map(sum, chosen)), sum(map(len, chosen))
            if total:
                count = sum(map(bool, chosen))
                comparisons.append(Comparison(study.dataset, method, other, votes, total - votes, count))
    sides = [vote.side for a in answers for vote in a.votes]
    return Result(methods, participants, tuple(comparisons), sides.count("left"), len(sides))


def write_table(result: Result, folder: Path) -> None:
    """Write user_study.md, .csv and .json.

    Raises:
        RestoreFormerError: they cannot be written there.
    """
    for suffix, text in ((".md", markdown(result)), (".csv", _csv(result)), (".json", _json(result))):
        with whole_file(folder / f"user_study{suffix}") as part:
            part.write_text(text, encoding="utf-8", newline="\n")


def markdown(result: Result) -> str:
    """Table 3, a line on how to read it, and every pair."""
    ours, cells = result.methods[0], {(c.dataset, c.method, c.other): c for c in result.comparisons}
    datasets = list(result.participants)
    lines = heading(["Methods", *(name or "votes" for name in datasets)])
    for other in result.methods[1:]:
        lines += row(other, *(_cell(cells.get((name, ours, other))) for name in datasets))
    left = share(result.left, result.votes)
    people = "; ".join(
        (f"{name}: " if name else "") + _counted(count, "participant") + (f", {part} of them in part" if part else "")
        for name, (count, part) in result.participants.items()
    )
    lines += (
        f"\nIn a/b, a is the percentage of votes for the compared method and b that for {ours}; in brackets the "
        f"{CONFIDENCE:.0%} interval of b (Wilson's, votes taken as independent). {people}; "
        f"{_counted(result.votes, 'vote')}, of which {left.percent:.2f}% [{left.low:.2f}, {left.high:.2f}] for the "
        "picture on the left.\n\n"
    )
    dataset = ["dataset"] if any(datasets) else []
    heads = [*dataset, "method", "compared with", "votes", "share of votes", "participants"]
    lines += heading(heads)
    for c in result.comparisons:
        part = share(c.votes, c.votes + c.other_votes)
        told = f"{part.percent:.2f}% [{part.low:.2f}, {part.high:.2f}]"
        values = (c.method, c.other, f"{c.votes} of {c.votes + c.other_votes}", told, str(c.participants))
        lines += row(*([c.dataset] if dataset else []), *values)
    return lines


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _cell(comparison: Comparison | None) -> str:
    if comparison is None:
        return "–"
    ours = share(comparison.votes, comparison.votes + comparison.other_votes)
    return f"{100 - ours.percent:.2f}%/{ours.percent:.2f}% [{ours.low:.2f}, {ours.high:.2f}]"


def _csv(result: Result) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*Comparison._fields, *Share._fields])
    for c in result.comparisons:
        rows.writerow([*c, *(f"{value:.4f}" for value in share(c.votes, c.votes + c.other_votes))])
    return text.getvalue()


def _json(result: Result) -> str:
    content = {
        **result._asdict(),
        "participants": {
            name: {"files": count, "in_part": part} for name, (count, part) in result.participants.items()
        },
        "comparisons": [
            {**c._asdict(), **share(c.votes, c.votes + c.other_votes)._asdict()} for c in result.comparisons
        ],
        "left_share": share(result.left, result.votes)._asdict(),
        "confidence": CONFIDENCE,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
