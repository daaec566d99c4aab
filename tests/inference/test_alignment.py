import cv2
import numpy as np
import pytest

from restoreformer.geometry import TEMPLATE
from restoreformer.inference.alignment import alignment, crop_face, feathered_mask, paste_face


def similarity(scale, angle, x, y):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y]])


@pytest.mark.parametrize("size", [512, 128])
def test_the_transform_is_found(size):
    """Landmarks placed by a known transform give its inverse."""
    there = similarity(0.4, 0.3, 100, 50)
    landmarks = TEMPLATE @ there[:, :2].T + there[:, 2]
    matrix = alignment(landmarks, size)
    np.testing.assert_allclose(
        landmarks @ matrix[:, :2].T + matrix[:, 2], (TEMPLATE + 0.5) * size / 512 - 0.5, atol=1e-2
    )


def test_coinciding_landmarks():
    assert alignment(np.full((5, 2), 7.0), 512) is None


def test_an_aligned_face_is_cut_out_as_it_is(astronaut):
    crop = crop_face(astronaut, alignment(TEMPLATE, 512), 512)
    assert np.abs(crop.astype(int) - astronaut).max() <= 2


def test_large_faces_are_averaged_not_skipped():
    """Stripes of one pixel become grey, and an edge stays where it is."""
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    matrix = alignment((TEMPLATE + 0.5) * 2 - 0.5, 128)
    crop = crop_face(stripes, matrix, 128)
    assert np.abs(crop[8:-8, 8:-8].astype(int) - 127).max() < 12
    edge = np.zeros((1024, 1024, 3), np.uint8)
    edge[:, 512:] = 255
    crossing = np.interp(127.5, crop_face(edge, matrix, 128)[64, :, 0].astype(float), np.arange(128))
    assert crossing == pytest.approx((511.5 + 0.5) / 8 - 0.5, abs=0.1)


def test_pasting_changes_nothing_beyond_the_crop_and_little_within(astronaut):
    landmarks = np.array([[203, 101], [247, 104], [224, 125], [203, 143], [242, 145]], dtype=np.float32)
    matrix = alignment(landmarks, 512)
    pasted = astronaut.copy()
    paste_face(pasted, crop_face(astronaut, matrix, 512), matrix)
    corners = np.array([[0, 0], [512, 0], [512, 512], [0, 512]]) @ cv2.invertAffineTransform(matrix)[:, :2].T
    corners += cv2.invertAffineTransform(matrix)[:, 2]
    outside = cv2.fillPoly(np.ones((512, 512), np.uint8), [np.rint(corners).astype(np.int32)], 0) == 1
    outside = cv2.erode(outside.astype(np.uint8), np.ones((5, 5))) == 1
    assert outside.any() and (pasted[outside] == astronaut[outside]).all()
    error = np.mean((pasted.astype(float) - astronaut)[~outside] ** 2)
    assert 10 * np.log10(255**2 / error) > 38


@pytest.mark.parametrize("side, psnr", [(45, 30), (100, 32), (300, 38)])
def test_small_faces_are_averaged_when_pasted(astronaut, side, psnr):
    """A face of 512 goes into a photo where it is small. Skipping pixels gives 20, 24 and 33 dB."""
    where = similarity(side / 512, 0, 100, 100)
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
    mask = feathered_mask(100)
    assert mask[50, 50] == 1 and mask[0].max() == 0 and (mask == mask.T).all() and (mask == mask[::-1]).all()
