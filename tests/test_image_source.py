import multiprocessing

import lmdb
import pytest

from restoreformer.datasets.pack_lmdb import pack
from restoreformer.errors import RestoreFormerError
from restoreformer.image_source import ImageSource


def test_folder_and_lmdb_give_the_same(faces_folder, faces_lmdb):
    folder, packed = ImageSource(faces_folder), ImageSource(faces_lmdb)
    assert folder.names == packed.names == [f"{i:05d}" for i in range(4)]
    assert all((folder.read(n) == packed.read(n)).all() for n in folder.names)


def test_nothing_there(tmp_path):
    with pytest.raises(RestoreFormerError, match=r"Expected an LMDB at .*faces\.lmdb, found nothing. Pack"):
        ImageSource(tmp_path / "faces.lmdb", hint="Pack your images.")
    with pytest.raises(RestoreFormerError, match="Expected images in"):
        ImageSource(tmp_path)
    (tmp_path / "half.lmdb").mkdir()
    with pytest.raises(RestoreFormerError, match="Expected the list of an LMDB"):
        ImageSource(tmp_path / "half.lmdb")


def test_two_of_one_name(tmp_path, face):
    import cv2

    for name in ("a/x.png", "b/x.jpg"):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), face)
    with pytest.raises(RestoreFormerError, match="Expected one image of each name"):
        ImageSource(tmp_path)


def test_unreadable_records_are_named(tmp_path, faces_folder):
    path = tmp_path / "faces.lmdb"
    pack(faces_folder, path, 64)
    with lmdb.open(str(path)) as env, env.begin(write=True) as txn:
        txn.put(b"00001", b"not an image")
        txn.delete(b"00002")
    source = ImageSource(path)
    with pytest.raises(RestoreFormerError, match=r"under 00001 in .*faces\.lmdb, got 12 bytes"):
        source.read("00001")
    with pytest.raises(RestoreFormerError, match="under 00002"):
        source.read("00002")
    assert source.read("00003").shape == (64, 64, 3)


def test_names_with_dots_and_spaces(tmp_path, face):
    import cv2

    cv2.imwrite(str(tmp_path / "a b.c.png"), face)
    pack(tmp_path, tmp_path / "x.lmdb", 64)
    assert ImageSource(tmp_path / "x.lmdb").read("a b.c").shape == (64, 64, 3)


def test_two_datasets_and_their_workers_share_an_lmdb(faces_lmdb):
    """lmdb refuses to open one file twice in a process; a forked worker must not use its parent's."""
    first, second = ImageSource(faces_lmdb), ImageSource(faces_lmdb)
    image = first.read("00000")
    assert (second.read("00000") == image).all()
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert (pool.apply(first.read, ("00000",)) == image).all()


@pytest.mark.parametrize("content", [b"no LMDB at all" * 1000, None])
def test_a_damaged_lmdb(content, tmp_path, faces_folder):
    path = tmp_path / "faces.lmdb"
    pack(faces_folder, path, 64)
    (path / "data.mdb").unlink()
    if content is not None:
        (path / "data.mdb").write_bytes(content)
    with pytest.raises(RestoreFormerError, match=r"Expected an LMDB at .*faces\.lmdb, could not open it .*pack"):
        ImageSource(path)
