import io

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.inference.photos import (
    CutOffError,
    as_bgr,
    check_photo,
    in_8_bits,
    in_grey,
    is_grey,
    read_photo,
    write_photo,
)

RGBA = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
MODES = {"RGB": RGBA[:, :, :3].copy(), "RGBA": RGBA, "L": RGBA[:, :, 0].copy(), "LA": RGBA[:, :, :2].copy()}


def encoded(kind, image, turned=1, **options):
    exif = PIL.Image.Exif()
    exif[0x0112] = turned
    file = io.BytesIO()
    lossless = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    PIL.Image.fromarray(image).save(file, kind, exif=exif, **lossless, **options)
    return file.getvalue()


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("mode", MODES)
def test_files_are_read_as_pillow_reads_them_upright(tmp_path, mode, kind, turned):
    if kind == "JPEG" and "A" in mode:
        return
    data = encoded(kind, MODES[mode], turned)
    (tmp_path / "photo").write_bytes(data)
    photo = read_photo(tmp_path / "photo")
    with PIL.Image.open(io.BytesIO(data)) as image:
        upright = PIL.ImageOps.exif_transpose(image)
        expected = np.asarray(upright.convert("RGBA" if "A" in mode else "RGB"))
    height, width = expected.shape[:2]
    assert photo.dtype == np.uint8 and photo.shape[:2] == (height, width)
    assert photo.ndim == (2 if mode == "L" and kind != "WEBP" else 3)
    colours = as_bgr(photo)[:, :, ::-1].astype(int)
    assert np.abs(colours - expected[:, :, :3]).max() <= (3 if kind == "JPEG" else 0)
    if "A" in mode:
        assert (photo[:, :, 3] == expected[:, :, 3]).all()


def test_grey_with_one_value_for_transparent(tmp_path):
    image = PIL.Image.fromarray(RGBA[:, :, 0].copy())
    image.save(tmp_path / "photo.png", transparency=int(RGBA[2, 3, 0]))
    photo = read_photo(tmp_path / "photo.png")
    assert photo.shape == (5, 7, 4) and photo[2, 3, 3] == 0 and is_grey(photo)


def test_sides_that_a_kind_of_file_does_not_have(tmp_path):
    with pytest.raises(RestoreFormerError, match=r"Expected sides of up to 16383 .*, got 16384x1: write PNG"):
        write_photo(tmp_path / "photo.webp", np.zeros((1, 16384), np.uint8))


def test_deep_files_come_back(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (5, 7, 4)).astype(np.uint16)
    for photo in (deep, deep[:, :, :3].copy(), deep[:, :, 0].copy()):
        for suffix in (".png", ".tif"):
            write_photo(tmp_path / f"photo{suffix}", photo)
            read = read_photo(tmp_path / f"photo{suffix}")
            assert read.dtype == np.uint16 and read.shape == photo.shape and (read == photo).all()


def test_what_a_kind_of_file_cannot_hold_is_left_out(tmp_path):
    deep = RGBA.astype(np.uint16) * np.uint16(257)
    # Alpha in BMP is known to OpenCV from 4.11 on.
    bmp = cv2.imdecode(cv2.imencode(".bmp", RGBA)[1], cv2.IMREAD_UNCHANGED).shape
    for suffix, shape in ((".jpg", (5, 7, 3)), (".webp", (5, 7, 4)), (".bmp", bmp)):
        write_photo(tmp_path / f"photo{suffix}", deep)
        assert cv2.imread(str(tmp_path / f"photo{suffix}"), cv2.IMREAD_UNCHANGED).shape == shape
    # Of opaque ones every kind holds the colours.
    write_photo(tmp_path / "photo.bmp", deep[:, :, :3])
    assert (cv2.imread(str(tmp_path / "photo.bmp")) == RGBA[:, :, :3]).all()


def test_what_is_no_photo_is_told(tmp_path):
    frames = [PIL.Image.fromarray(RGBA[:, :, :3].copy()).rotate(a) for a in (0, 90, 180)]
    cases = {
        "several": ("GIF", "Expected one picture in .*, got 3"),
        "pages": ("TIFF", "Expected one picture .* got 3"),
    }
    for name, (kind, told) in cases.items():
        frames[0].save(tmp_path / name, kind, save_all=True, append_images=frames[1:])
        # OpenCV reads GIF from 4.11 on.
        if not cv2.haveImageReader(str(tmp_path / name)):
            told = "bytes that OpenCV does not read"
        with pytest.raises(RestoreFormerError, match=told):
            read_photo(tmp_path / name)
    frames[0].save(tmp_path / "still", "GIF")
    if cv2.haveImageReader(str(tmp_path / "still")):
        assert read_photo(tmp_path / "still").shape == (5, 7, 3)
    cv2.imwrite(str(tmp_path / "float.tiff"), RGBA[:, :, :3].astype(np.float32))
    with pytest.raises(RestoreFormerError, match="Expected 8 or 16 bits a colour in .*, got float32"):
        read_photo(tmp_path / "float.tiff")
    for name, content in (("text.jpg", b"not a photo"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RestoreFormerError, match=f"got {len(content)} bytes that OpenCV does not read"):
            read_photo(tmp_path / name)
    with pytest.raises(RestoreFormerError, match="could not read it: Is a directory"):
        read_photo(tmp_path)


def test_what_there_is_of_a_photo_that_is_cut_off(tmp_path, astronaut):
    whole = cv2.imencode(".jpg", astronaut)[1].tobytes()
    (tmp_path / "photo.jpg").write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(CutOffError, match=r"Expected a whole photo in .*photo\.jpg, it is cut off") as caught:
        read_photo(tmp_path / "photo.jpg")
    assert caught.value.photo.shape == (512, 512, 3)
    assert np.abs(caught.value.photo[:200].astype(int) - astronaut[:200]).mean() < 4
    (tmp_path / "photo.jpg").write_bytes(whole[:100])
    with pytest.raises(RestoreFormerError, match="got 100 bytes that OpenCV does not read"):
        read_photo(tmp_path / "photo.jpg")


def test_the_end_of_a_small_picture_within_is_not_the_photos(tmp_path, astronaut, face):
    whole, small = (cv2.imencode(".jpg", image)[1].tobytes() for image in (astronaut, face[::4, ::4]))
    segment = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    # And fill bytes before a mark.
    photo = whole[:2] + segment + b"\xff\xff" + whole[2:]
    (tmp_path / "photo.jpg").write_bytes(photo)
    assert (read_photo(tmp_path / "photo.jpg") == cv2.imdecode(np.frombuffer(whole, np.uint8), 1)).all()
    (tmp_path / "photo.jpg").write_bytes(photo[: len(photo) * 2 // 3])
    with pytest.raises(CutOffError):
        read_photo(tmp_path / "photo.jpg")


def test_marks_without_a_length_and_a_header_of_nothing_but_fill(tmp_path, face):
    whole = cv2.imencode(".jpg", face)[1].tobytes()
    (tmp_path / "photo.jpg").write_bytes(whole[:2] + b"\xff\x01" + whole[2:])
    assert read_photo(tmp_path / "photo.jpg").shape == face.shape
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8" + b"\xff" * 2**22)
    with pytest.raises(RestoreFormerError, match="that OpenCV does not read"):
        read_photo(tmp_path / "photo.jpg")


@pytest.mark.parametrize("exif", [b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", b"\0"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_damaged_exif_data_tell_nothing(kind, exif, tmp_path):
    PIL.Image.fromarray(MODES["RGB"]).save(tmp_path / "photo", kind, exif=exif, lossless=True)
    assert (read_photo(tmp_path / "photo")[:, :, ::-1] == MODES["RGB"]).all()


def test_arrays_that_are_no_photos():
    for shape, dtype in (((4,), np.uint8), ((4, 4, 2), np.uint8), ((4, 4, 3), np.float32), ((0, 4, 3), np.uint8)):
        with pytest.raises(RestoreFormerError, match="Expected a photo"):
            check_photo(np.zeros(shape, dtype))


def test_depth_and_colours():
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert (in_8_bits(deep) == np.rint(deep / 257)).all()
    assert is_grey(deep) and is_grey(np.dstack([deep] * 3)) and not is_grey(RGBA)
    assert is_grey(in_grey(RGBA[:, :, :3].copy()))
    assert is_grey(np.dstack([RGBA[:, :, :1]] * 3 + [RGBA[:, :, 3:]]))
