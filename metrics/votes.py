"""Files of answers to a study: read, held against its key, and turned into votes for methods."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.study import Study, read_json
from restoreformer.metrics.study_html import KIND


class Vote(NamedTuple):
    """One answer: the method chosen, the one beside it, and the side that the chosen one stood on."""

    better: str
    worse: str
    side: str


class Answers(NamedTuple):
    """One participant's votes in one study, and how many questions were asked."""

    path: Path
    study: str
    participant: str
    asked: int
    votes: tuple[Vote, ...]


def read_answers(paths: Iterable[Path], studies: Sequence[Study]) -> list[Answers]:
    """The answers in all files, each to one of the studies.

    Raises:
        RestoreFormerError: files that cannot be read, are damaged, hold no answers, belong to none of the studies or to
            a participant of another file; names each, for one bad file leaves the rest in doubt.
    """
    by_token = {study.token: study for study in studies}
    found: dict[tuple[str, str], Answers] = {}
    refused = []
    for path in paths:
        try:
            answers = _answers(path, by_token)
            earlier = found.setdefault((answers.study, answers.participant), answers)
            if earlier is not answers:
                raise RestoreFormerError(
                    f"Expected one file from each participant, got {earlier.path} and {path} from one: keep the later."
                )
        except RestoreFormerError as error:
            refused.append(str(error))
    if refused:
        raise RestoreFormerError(" ".join(refused))
    return list(found.values())


def _answers(path: Path, studies: Mapping[str, Study]) -> Answers:
    content = read_json(path, KIND)
    study = studies.get(str(content.get("study")))
    if study is None:
        raise RestoreFormerError(f"Expected answers to this study in {path}, they are to another: name its --key too.")
    try:
        votes = tuple(_votes(content["answers"], study))
        asked, participant = int(content["asked"]), str(content["participant"])
        if not 1 <= len(votes) <= asked or not participant or content["participant"] is None:
            raise ValueError(f"{len(votes)} answers to {asked} questions")
    except (KeyError, TypeError, ValueError) as error:
        raise RestoreFormerError(f"Expected whole answers in {path}, it is damaged: {error!r}.") from error
    return Answers(path, study.token, participant, asked, votes)


def _votes(answers: list[dict[str, Any]], study: Study) -> Iterable[Vote]:
    left_to_ask = {frozenset(question[:2]) for question in study.questions}
    for answer in answers:
        left, right, side = answer["left"], answer["right"], answer["chosen"]
        pair = frozenset((left, right))
        if pair not in left_to_ask or side not in ("left", "right"):
            raise ValueError(f"{answer} answers no question of the study, or one that was answered before")
        left_to_ask.remove(pair)
        better, worse = (left, right) if side == "left" else (right, left)
        methods = [study.pictures[token].method for token in (better, worse)]
        yield Vote(str(methods[0]), str(methods[1]), side)
