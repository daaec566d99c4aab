import cv2
import numpy as np
import pytest

from restoreformer.geometry import TEMPLATE
from restoreformer.inference.alignment import alignment, crop_face, from_resized
from restoreformer.inference.pasting import feathered_mask, paste_face
from restoreformer.inference.upsampling import enlarged

# On scikit-image's astronaut.
LANDMARKS = np.array([[203, 101], [247, 104], [224, 125], [203, 143], [242, 145]], dtype=np.float32)


def outside_of_crop(matrix, shape):
    """Where no pixel of the crop reaches."""
    back = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [512, 0], [512, 512], [0, 512]]) @ back[:, :2].T + back[:, 2]
    outside = cv2.fillPoly(np.ones(shape[:2], np.uint8), [np.rint(corners).astype(np.int32)], 0)
    return cv2.erode(outside, np.ones((5, 5))) == 1


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("upscale, least", [(1, 43), (1.5, 48), (2, 49.5), (4, 50.5)])
def test_a_network_that_changes_nothing_changes_nothing_outside_and_little_within(astronaut, upscale, least):
    """What is lost within is what sampling twice loses; benchmarks/pasting.py has it for more photos."""
    matrix = alignment(LANDMARKS, 512)
    photo = enlarged(astronaut, upscale)
    there = from_resized(matrix, astronaut.shape[1::-1], photo.shape[1::-1])
    pasted = photo.copy()
    paste_face(pasted, crop_face(astronaut, matrix, 512), there)
    outside = outside_of_crop(there, photo.shape)
    assert outside.any() and (pasted[outside] == photo[outside]).all()
    assert psnr(pasted[~outside], photo[~outside]) > least


@pytest.mark.parametrize("dtype, unit", [(np.uint8, 1), (np.uint16, 257)])
def test_detail_finer_than_the_crop_is_kept(dtype, unit):
    """Only what the network changed is added: noise of single pixels, which no small crop holds, stays."""
    rng = np.random.default_rng(0)
    photo = rng.integers(60, 196, (512, 512, 3)).astype(dtype) * dtype(unit)
    matrix = np.array([[1 / 8, 0, (1 / 8 - 1) / 2], [0, 1 / 8, (1 / 8 - 1) / 2]])
    crop = crop_face((photo // unit).astype(np.uint8), matrix, 64)
    pasted = photo.copy()
    paste_face(pasted, crop, matrix, keep_detail_beyond=crop)
    assert (pasted == photo).all()
    paste_face(pasted, crop + np.uint8(10), matrix, 0.5, keep_detail_beyond=crop)
    assert (pasted[156:356, 156:356] == photo[156:356, 156:356] + 5 * unit).all()
    bright = np.full_like(photo, 255 * unit)
    paste_face(bright, crop + np.uint8(10), matrix, keep_detail_beyond=crop)
    assert (bright == 255 * unit).all(), "no value wraps around"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_every_kind_of_photo(astronaut, dtype, channels):
    """Each is what 8-bit BGR is, in its own channels and depth; alpha stays."""
    grey = channels == 0
    bgr = cv2.cvtColor(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if grey else astronaut
    face = np.full((64, 64, 3), (40, 40, 40) if grey else (10, 90, 200), np.uint8)
    matrix = alignment(LANDMARKS, 64)
    expected = bgr.copy()
    paste_face(expected, face, matrix)
    alpha = np.random.default_rng(0).integers(0, 256, (512, 512, 1)).astype(np.uint8)
    photo = bgr[:, :, 0] if grey else np.concatenate([bgr, alpha], 2)[:, :, :channels]
    whole = photo.astype(dtype) * np.array(257 if dtype == np.uint16 else 1, dtype)
    before = whole.copy()
    paste_face(whole, face, matrix)
    assert whole.dtype == dtype and whole.shape == photo.shape
    back = np.rint(whole / (257 if dtype == np.uint16 else 1)).astype(int)
    colours = back if grey else back[:, :, :3]
    assert np.abs(colours - (expected[:, :, 0] if grey else expected)).max() <= 1
    if channels == 4:
        assert (whole[:, :, 3] == before[:, :, 3]).all()


def test_beyond_the_face_its_border_is_not_seen(astronaut):
    """A face of one colour shows no other, though its outermost pixels are sampled beyond its border."""
    photo = np.full((200, 200, 3), 200, np.uint8)
    paste_face(photo, np.full((64, 64, 3), 200, np.uint8), alignment(TEMPLATE / 4 + 37.3, 64))
    assert (photo == 200).all()


def test_strength_goes_from_the_photo_to_the_face(astronaut):
    matrix = alignment(LANDMARKS, 64)
    face = np.full((64, 64, 3), 200, np.uint8)
    results = []
    for strength in (0, 0.25, 1):
        results.append(astronaut.copy())
        paste_face(results[-1], face, matrix, strength)
    assert (results[0] == astronaut).all() and (results[2][120, 222] == 200).all()
    expected = astronaut + 0.25 * (results[2].astype(float) - astronaut)
    assert np.abs(results[1] - expected).max() <= 1


def similarity(scale, x, y):
    return np.array([[scale, 0, x], [0, scale, y]])


@pytest.mark.parametrize("side, psnr", [(45, 30), (100, 32), (300, 38)])
def test_small_faces_are_averaged_when_pasted(astronaut, side, psnr):
    """A face of 512 goes into a photo where it is small. Skipping pixels gives 20, 24 and 33 dB."""
    where = similarity(side / 512, 100, 100)
    photo = np.zeros((512, 512, 3), np.uint8)
    landmarks = (TEMPLATE + 0.5) @ where[:, :2].T + where[:, 2] - 0.5
    paste_face(photo, astronaut, alignment(landmarks, 512))
    inner = slice(100 + side // 4, 100 + 3 * side // 4)
    expected = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)
    expected = expected[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4].astype(float)
    error = np.mean((photo[inner, inner][: len(expected), : len(expected)] - expected) ** 2)
    assert 10 * np.log10(255**2 / error) > psnr


def test_pasting_shows_the_face_in_the_middle_and_fades(astronaut):
    matrix = alignment(TEMPLATE / 2 + 100, 128)
    photo = np.zeros((512, 512, 3), np.uint8)
    paste_face(photo, np.full((128, 128, 3), 200, np.uint8), matrix)
    assert (photo[228, 228] == 200).all() and (photo[90, 90] == 0).all()
    row = photo[228, 100:228, 0].astype(int)
    assert (np.diff(row) >= 0).all() and np.diff(row).max() < 25


def test_faces_over_the_border(astronaut):
    for shift in (-150.0, 350.0, 2000.0):
        photo = astronaut.copy()
        matrix = alignment(TEMPLATE / 2 + shift, 128)
        crop = crop_face(photo, matrix, 128)
        paste_face(photo, crop, matrix)
        assert crop.shape == (128, 128, 3) and photo.shape == astronaut.shape
        if shift == 2000.0:
            assert (photo == astronaut).all()


def test_mask():
    mask = feathered_mask(101)
    assert mask[50, 50] == 1 and (mask == mask.T).all() and (mask == mask[::-1]).all()
    assert mask[0].max() == 0 and mask[5, 5] == 0
    # Eyes, nose and mouth are the restored face's alone.
    for x, y in TEMPLATE / 512 * 100:
        assert mask[round(y), round(x)] == 1
    assert (np.diff(mask[50, :51]) >= 0).all() and np.diff(mask[50]).max() < 0.11
