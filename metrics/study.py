"""A blind comparison of methods: which pictures stand against which, and the key that tells whose they are."""

import json
import random
import secrets
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.face_sets import FaceSet, same_names

KIND = "user study key"


class Picture(NamedTuple):
    """A method's restoration of a face; of a degraded input the method is None."""

    method: str | None
    face: str


class Question(NamedTuple):
    """Two pictures of one face in no order that means anything, and the degraded input, or None; by their tokens."""

    first: str
    second: str
    degraded: str | None


class Study(NamedTuple):
    """What a page asks, and what its pictures are.

    Attributes:
        token: tells this study from others; stands in its page, its key and its answers.
        dataset: where the faces are from, a column's heading in the table; may be empty.
        methods: their names, ours first.
        pictures: by tokens, random and sorted.
        questions: sorted by tokens, which is no order of faces or methods.
    """

    token: str
    dataset: str
    methods: tuple[str, ...]
    pictures: dict[str, Picture]
    questions: tuple[Question, ...]


def draw_study(
    methods: Mapping[str, FaceSet],
    degraded: FaceSet | None = None,
    samples: int | None = None,
    seed: int = 0,
    first_only: bool = False,
    dataset: str = "",
) -> Study:
    """A study of the faces that all methods restored.

    Tokens come from the system's randomness: neither the seed nor the names lead to them.

    Args:
        methods: two or more, ours first, all with the same names.
        degraded: the inputs, with those names.
        samples: how many faces, drawn by ``seed``; None takes all.
        seed: another number draws other faces.
        first_only: compares the first method with each other, not every pair.
        dataset: see :class:`Study`.

    Raises:
        RestoreFormerError: fewer than two methods, names that differ, or more samples than faces.
    """
    if len(methods) < 2:
        raise RestoreFormerError(f"Expected two methods or more to compare, got {len(methods)}: add --method NAME=DIR.")
    faces = same_names({**methods, **({} if degraded is None else {"the degraded": degraded})})
    if samples is not None:
        if not 1 <= samples <= len(faces):
            raise RestoreFormerError(f"Expected 1 to {len(faces)} samples, as there are faces, got {samples}.")
        faces = sorted(random.Random(seed).sample(faces, samples))
    pictures: dict[str, Picture] = {}
    questions = []
    for face in faces:
        tokens = {name: secrets.token_hex(8) for name in (None, *methods)}
        shown = [name for name in tokens if name is not None or degraded is not None]
        pictures |= {tokens[name]: Picture(name, face) for name in shown}
        for one, other in combinations(methods, 2):
            if not first_only or one == next(iter(methods)):
                first, second = sorted((tokens[one], tokens[other]))
                questions.append(Question(first, second, None if degraded is None else tokens[None]))
    return Study(
        secrets.token_hex(8), dataset, tuple(methods), dict(sorted(pictures.items())), tuple(sorted(questions))
    )


def key_path(page: Path) -> Path:
    """Where the key of a page lies: beside it."""
    return page.with_suffix(".key.json")


def key_text(study: Study) -> str:
    """The study as its key's JSON."""
    return json.dumps({"kind": KIND, **study._asdict()}, indent=1, ensure_ascii=False) + "\n"


def read_key(path: Path) -> Study:
    """The study that a key's file tells of.

    Raises:
        RestoreFormerError: the file cannot be read, or is no key.
    """
    content = read_json(path, KIND)
    try:
        methods = tuple(map(str, content["methods"]))
        if len(methods) < 2:
            raise TypeError(f"{len(methods)} methods")
        return Study(
            str(content["token"]),
            str(content["dataset"]),
            methods,
            {token: Picture(*picture) for token, picture in content["pictures"].items()},
            tuple(Question(*question) for question in content["questions"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise RestoreFormerError(f"Expected a study's key in {path}, it is damaged: {error!r}.") from error


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """A JSON file that says itself of what kind it is.

    Raises:
        RestoreFormerError: the file cannot be read, is no JSON or of another kind.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise RestoreFormerError(f"Expected a {kind} in {path}, could not read it: {error.strerror}.") from error
    except ValueError as error:
        raise RestoreFormerError(f"Expected a {kind} in {path}, it is cut off or no JSON: {error}.") from error
    found = content.get("kind") if isinstance(content, dict) else None
    if not isinstance(content, dict) or found != kind:
        raise RestoreFormerError(f"Expected a {kind} in {path}, got {found or 'JSON of another kind'}.")
    return content
