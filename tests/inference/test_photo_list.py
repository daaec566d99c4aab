from pathlib import Path

import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.inference.photo_list import list_photos


def names(folder, *files, **options):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    return {str(p.path.relative_to(folder)): str(p.name) for p in list_photos(folder, **options)}


def test_photos_of_one_name_have_results_of_two(tmp_path):
    found = names(tmp_path, "a.jpg", "a.png", "a_jpg.png", "b.c.JPG", "notes.txt", "d.webp", "._a.jpg")
    assert found == {
        "a.jpg": "a_jpg",
        "a.png": "a_png",
        "a_jpg.png": "a_jpg_",
        "b.c.JPG": "b.c",
        "d.webp": "d",
    }


def test_folders_within(tmp_path):
    files = ("a.jpg", "x.png/b.jpg", "x.png/deep/a.jpg")
    assert names(tmp_path, *files) == {"a.jpg": "a", "x.png": "x"}
    within = {"a.jpg": "a", "x.png/b.jpg": "x.png/b", "x.png/deep/a.jpg": "x.png/deep/a"}
    assert names(tmp_path, *files, recursive=True) == within


def test_results_among_the_photos_are_no_photos(tmp_path):
    files = ("a.jpg", "results/restored_imgs/a.jpg")
    found = names(tmp_path, *files, recursive=True, output=tmp_path / "results")
    assert list(found) == ["a.jpg"]
    # Into the photos' own folder, too.
    again = names(tmp_path, "restored_imgs/a.jpg", "cmp/a_00.png", recursive=True, output=tmp_path)
    assert list(again) == ["a.jpg", "results/restored_imgs/a.jpg"]
    # Asked for by themselves they are photos, and so are photos below the output.
    assert len(list_photos(tmp_path / "cmp", output=tmp_path)) == 1
    assert len(list_photos(tmp_path / "results", recursive=True, output=tmp_path)) == 1


def test_a_file_of_any_suffix_and_nothing(tmp_path):
    (tmp_path / "photo.xyz").write_bytes(b"")
    assert list_photos(tmp_path / "photo.xyz") == [(tmp_path / "photo.xyz", Path("photo"))]
    for path in (tmp_path, tmp_path / "nowhere"):
        for recursive in (False, True):
            with pytest.raises(RestoreFormerError, match="Expected a"):
                list_photos(path, recursive)
