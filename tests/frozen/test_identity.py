from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from restoreformer.frozen.identity import NARROW, IdentityNetwork, narrow_face
from restoreformer.geometry import TEMPLATE
from restoreformer.images import read, to_batch
from restoreformer.metrics.identity_distance import angle

# Beside the project, where development material is kept.
SHARED = Path(__file__).parents[3] / "shared"
# SphereFace's, from its published alignment for 112x96: eyes, nose, corners of the mouth.
SPHEREFACE = [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]


def dot(x, y, size):
    """A soft white dot on black, RGB ``(1, 3, size, size)`` in [-1, 1]; whole numbers are middles of pixels."""
    across = torch.arange(size, dtype=torch.float64)
    spread = 2 * (size / 512) ** 2 * 9
    falling = torch.exp(-(((across - y) ** 2)[:, None] + (across - x) ** 2) / spread)
    return (2 * falling - 1).float().expand(1, 3, -1, -1)


def centre(image):
    weights = (image[0, 0].double() + 1).numpy()
    rows, columns = np.indices(weights.shape)
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("size", [128, 256, 512, 1024])
def test_landmarks_lie_where_sphereface_has_them(size):
    """As near as one scale and a shift bring FFHQ's template to SphereFace's, whose faces are not as long."""
    assert NARROW.tolist() == SPHEREFACE
    (x, y), (u, v) = TEMPLATE.T.astype(float), np.array(SPHEREFACE).T
    ones, zeros = np.ones(5), np.zeros(5)
    equations = np.vstack([np.column_stack([x, ones, zeros]), np.column_stack([y, zeros, ones])])
    (scale, right, down), *_ = np.linalg.lstsq(equations, np.concatenate([u, v]))
    for (across, along), wanted in zip(TEMPLATE, SPHEREFACE, strict=True):
        placed = ((np.array([across, along]) + 0.5) * size / 512) - 0.5
        found = centre(narrow_face(dot(*placed, size)))
        np.testing.assert_allclose(found, [scale * across + right, scale * along + down], atol=0.25)
        assert np.linalg.norm(found - wanted) < 2.6
    assert narrow_face(dot(0, 0, size)).shape == (1, 3, 112, 96)


def test_colours_keep_their_order_and_values():
    image = torch.tensor([1.0, 0.5, -1.0])[:, None, None].expand(2, 3, 300, 300)
    torch.testing.assert_close(narrow_face(image), image[:, :, :112, :96], rtol=0, atol=1e-6)


def test_what_is_finer_than_the_crop_is_averaged():
    rows = torch.arange(512)
    checkered = ((rows[:, None] + rows) % 2 * 2.0 - 1).expand(1, 3, -1, -1)
    assert narrow_face(checkered).abs().max() < 0.05


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the development material")
def test_a_face_is_near_itself_at_half_the_size_and_far_from_others():
    net = IdentityNetwork("mobilefacenet", SHARED / "weights" / "mobilefacenet_068.ckpt")
    faces = [read(path) for path in sorted((SHARED / "faces" / "ffhq256").glob("*.jpg"))[:6]]
    small = [cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA) for face in faces]
    with torch.inference_mode():
        one, half = (net(to_batch(images, torch.device("cpu"))) for images in (faces, small))
    assert one.shape == (6, 128)
    assert angle(one, half).max() < 0.3
    strangers = [angle(one[i : i + 1], one[j : j + 1]).item() for i in range(6) for j in range(i)]
    assert min(strangers) > 0.9 and np.mean(strangers) > 1.3
