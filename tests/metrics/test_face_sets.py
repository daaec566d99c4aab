import argparse
import re
from pathlib import Path

import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.face_sets import (
    FaceSet,
    NamedFolder,
    named_folder,
    pair,
    read_face_set,
    read_face_sets,
    same_names,
)


def folder(path, *names):
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def faces(*stems, where="a"):
    return FaceSet(Path(where), {s: Path(where) / f"{s}.png" for s in sorted(stems)})


def test_a_folder_by_names(tmp_path):
    path = folder(tmp_path / "a", "b.PNG", "a.c.jpg", "a.webp", "notes.txt", "._b.png", "x.gif")
    (path / "inner.png").mkdir()
    found = read_face_set(path)
    assert list(found.files.items()) == [("a", path / "a.webp"), ("a.c", path / "a.c.jpg"), ("b", path / "b.PNG")]
    assert found.ignored == ("._b.png", "inner.png", "notes.txt", "x.gif")


def test_folders_that_are_no_sets(tmp_path):
    with pytest.raises(RestoreFormerError, match="Expected a folder of faces at .*none, could not list it: .*No such"):
        read_face_set(tmp_path / "none")
    with pytest.raises(RestoreFormerError, match="Expected images in .*, found none among 1 entries"):
        read_face_set(folder(tmp_path / "a", "notes.txt"))
    with pytest.raises(RestoreFormerError, match="one image of each name in .*, got a.jpg and a.png"):
        read_face_set(folder(tmp_path / "b", "a.png", "a.jpg"))


def test_named_folders(tmp_path):
    assert named_folder("Our = x=y") == NamedFolder("Our", Path(" x=y"))
    for text in ("a", "=a", "a=", " =a"):
        with pytest.raises(argparse.ArgumentTypeError, match="Expected NAME=DIR"):
            named_folder(text)
    with pytest.raises(argparse.ArgumentTypeError, match=r"a method's name of one line, got 'a\\nb'"):
        named_folder("a\nb=c")
    first, second = folder(tmp_path / "a", "1.png"), folder(tmp_path / "b", "1.png")
    assert list(read_face_sets([NamedFolder("z", first), NamedFolder("a", second)])) == ["z", "a"]
    with pytest.raises(RestoreFormerError, match="a name of its own for each folder, got z for .*a and .*b"):
        read_face_sets([NamedFolder("z", first), NamedFolder("z", second)])


def test_pairs_by_name():
    assert pair(faces("a", "b", "c"), faces("d", "b", "c")) == (("b", "c"), ("a",), ("d",), None)


@pytest.mark.parametrize(
    ("reference", "other", "told"),
    [
        # The shorter of two ends that fit the first name fits all.
        (("1", "2", "1_0"), ("1_0_0", "2_0"), r"is one in r with '_0' after it: give the folder as o/\*_0.png"),
        (("1", "2"), ("out1", "out2"), r"every name in o is one in r with 'out' before it: give .* o/out\*.png"),
        (("1_00", "2_00"), ("1", "2"), r"every name in r is one in o with '_00' after it: give .* r/\*_00.png"),
        (("1", "2"), ("1_00", "2_01"), None),
        (("1", "2"), ("1_00", "3_00"), None),
        # One that fits as it is: nothing was renamed throughout.
        (("1", "2"), ("1", "2_00"), None),
    ],
)
def test_a_hint_where_a_set_was_renamed_throughout(reference, other, told):
    pairing = pair(faces(*reference, where="r"), faces(*other, where="o"))
    if told is None:
        assert pairing.hint is None
    else:
        assert re.search(told, pairing.hint)
        with pytest.raises(RestoreFormerError, match=told):
            same_names({"ours": faces(*reference, where="r"), "theirs": faces(*other, where="o")})


def test_sets_that_do_not_go_together_are_told_of():
    sets = {"ours": faces("a", "b"), "same": faces("a", "b", where="s"), "theirs": faces("b", *"cdefg", where="t")}
    assert same_names({k: sets[k] for k in ("ours", "same")}) == ["a", "b"]
    with pytest.raises(
        RestoreFormerError,
        match=r"got 1 of ours missing in theirs \(a\) and 5 of theirs missing in ours \(c, d, e and 2 more\)",
    ):
        same_names(sets)


def test_a_pattern_names_what_the_asterisk_stands_for(tmp_path):
    for name in ("1_00.png", "2_00.png", "2_01.png", "1_00.jpg"):
        (tmp_path / name).touch()
    found = read_face_set(tmp_path / "*_00.png")
    assert found.files == {"1": tmp_path / "1_00.png", "2": tmp_path / "2_00.png"} and found.folder == tmp_path
    with pytest.raises(RestoreFormerError, match=r"Expected images named \*_7.png in .*, found none among 4"):
        read_face_set(tmp_path / "*_7.png")
    with pytest.raises(RestoreFormerError, match="Expected one asterisk, for the names of faces"):
        read_face_set(tmp_path / "*_*.png")
