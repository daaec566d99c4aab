"""A study as one HTML file that works without a network: two faces side by side, which is better?

What is hidden: methods' names, faces' names and the seed are not in the page. Each picture has a random token, drawn
from the system's randomness and not computed from a name, so that no list of likely names can be tried against it; all
are encoded anew, so that none has metadata; pictures and questions are sorted by token. Whose a picture is, the key's
file alone tells. The browser draws the order of the questions, and which of two pictures is on the left by a coin for
each, anew for each participant.

What is not hidden: the pictures. Whoever reads the source can see how many methods there are, that one picture occurs
in several questions, and whatever the eye recognises a method by.
"""

import json
from pathlib import Path

from tqdm import tqdm

from restoreformer.errors import RestoreFormerError
from restoreformer.images import Image, data_url, read, resize
from restoreformer.metrics.face_sets import FaceSet, sized_as
from restoreformer.metrics.study import Picture, Study, key_path, key_text
from restoreformer.metrics.study_html import PAGE
from restoreformer.whole_file import whole_file

# WebP's, at which a sharp face of 512x512 has some 60 KB, a noisy input 180.
QUALITY = 95
# Of pictures that are shown, in pixels.
SMALLEST = 16
# Chromium opens such a page in some seconds; it takes a few times the memory.
MOST_MEGABYTES = 200


def write_study(
    page: Path,
    study: Study,
    methods: dict[str, FaceSet],
    degraded: FaceSet | None = None,
    size: int = 512,
    asked: int | None = None,
) -> list[str]:
    """Write a study's page, and beside it its key, NAME.key.json.

    Args:
        page: of the HTML file.
        study: of these methods.
        methods: their faces; those of one name are all shown at the first one's size, and the input too.
        degraded: the inputs, if the study has them.
        size: longest side in pixels of the pictures in the page; smaller ones stay as they are.
        asked: questions for each participant, drawn at random; None asks all.

    Returns:
        A line for each method with pictures that were resized.

    Raises:
        RestoreFormerError: files that are there already, no such number, pictures that cannot be read or differ in
            their proportions, or too many for one page.
    """
    count = len(study.questions)
    asked = count if asked is None else asked
    if page.suffix != ".html":
        raise RestoreFormerError(f"Expected a page's file to write, NAME.html, got {page}.")
    if size < SMALLEST:
        raise RestoreFormerError(f"Expected pictures of {SMALLEST} pixels or more, got --size {size}.")
    if not 1 <= asked <= count:
        raise RestoreFormerError(f"Expected 1 to {count} questions for each participant, got {asked}.")
    for path in (page, key_path(page)):
        # Answers that were given to an earlier page could not be read without its key.
        if path.exists():
            raise RestoreFormerError(f"Expected no study at {path}, there is one: choose another name.")
    sets: dict[str | None, FaceSet] = dict([*methods.items(), *([] if degraded is None else [(None, degraded)])])
    shown, resized = _embedded(study, sets, size)
    content = {"token": study.token, "asked": asked, "questions": study.questions}
    text = PAGE.replace("@STUDY@", json.dumps(content)).replace("@PICTURES@", json.dumps(shown))
    with whole_file(page) as part, whole_file(key_path(page)) as key:
        part.write_text(text, encoding="utf-8", newline="\n")
        key.write_text(key_text(study), encoding="utf-8", newline="\n")
    return [f"{name or 'degraded'}: {number} pictures resized" for name, number in resized.items() if number]


def _embedded(study: Study, sets: dict[str | None, FaceSet], size: int) -> tuple[dict[str, str], dict[str | None, int]]:
    """The pictures' addresses by their tokens, and how many were resized of each method."""
    tokens = {picture: token for token, picture in study.pictures.items()}
    faces = sorted({picture.face for picture in study.pictures.values()})
    shown, resized, total = dict.fromkeys(study.pictures, ""), dict.fromkeys(sets, 0), 0
    for done, face in enumerate(tqdm(faces, desc="embedding", unit="face")):
        reference = _limited(read(sets[study.methods[0]].files[face]), size)
        for name, faces_of in sets.items():
            path = faces_of.files[face]
            image = read(path)
            fitted = sized_as(image, reference, f"in {path}")
            resized[name] += image.shape != fitted.shape
            token = tokens[Picture(name, face)]
            shown[token] = data_url(fitted, QUALITY)
            total += len(shown[token])
        if total > MOST_MEGABYTES * 1_000_000:
            raise RestoreFormerError(
                f"Expected a page of at most {MOST_MEGABYTES} MB, got more after {done + 1} of {len(faces)} faces: "
                f"take --samples {max(done, 1)} or fewer, or a smaller --size."
            )
    return shown, resized


def _limited(image: Image, size: int) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, size / max(height, width))
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))
