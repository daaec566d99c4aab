import numpy as np
import pytest
import torch
from basicsr.utils.registry import METRIC_REGISTRY
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics.collector import PairCollector, better, labelled, make_collector

CPU = torch.device("cpu")
PSNR = {"type": "calculate_psnr", "crop_border": 0, "test_y_channel": False}
SSIM = {"type": "calculate_ssim", "crop_border": 0, "test_y_channel": False}


class Brightness(PairCollector):
    """How much brighter a face is; keeps how many came at once."""

    label = "brightness"

    def __init__(self, batch_size):
        super().__init__(CPU, batch_size)
        self.batches = []

    def compute(self, images, truths):
        self.batches.append(len(images))
        return np.array([float(a.mean()) - float(b.mean()) for a, b in zip(images, truths, strict=True)])


def grey(shade, size=8):
    return np.full((size, size, 3), shade, np.uint8)


def test_psnr_and_ssim_are_scikit_images(faces, collected):
    truths = faces(3)
    images = faces(3, noise=20)
    expected = [peak_signal_noise_ratio(t, i, data_range=255) for i, t in zip(images, truths, strict=True)]
    psnr = make_collector(PSNR, CPU)
    np.testing.assert_allclose(collected(psnr, images, truths), expected, rtol=1e-12)
    assert psnr.result(psnr.values()) == pytest.approx(np.mean(expected))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = []
    for image, truth in zip(images, truths, strict=True):
        _, where = structural_similarity(image, truth, channel_axis=2, full=True, **options)
        # BasicSR counts the windows that lie within the image.
        expected.append(where[5:-5, 5:-5].mean())
    ssim = make_collector(SSIM, CPU)
    np.testing.assert_allclose(collected(ssim, images, truths), expected, rtol=1e-9)
    assert (psnr.label, psnr.better, ssim.label, ssim.better) == ("PSNR", "higher", "SSIM", "higher")


def test_equal_images(faces, collected):
    (image,) = faces(1)
    assert collected(make_collector(PSNR, CPU), [image], [image.copy()]) == [np.inf]
    assert collected(make_collector(SSIM, CPU), [image], [image.copy()]) == [1]


def test_batches_of_one_size_keep_the_order(collected):
    sizes, shades = (8, 8, 8, 6, 6, 8), (10, 20, 30, 40, 50, 60)
    images, truths = [grey(s, n) for s, n in zip(shades, sizes, strict=True)], [grey(1, n) for n in sizes]
    collector = Brightness(2)
    np.testing.assert_array_equal(collected(collector, images, truths), [s - 1 for s in shades])
    assert collector.batches == [2, 1, 2, 1]
    assert collector.result(collector.values()) == 34
    # Of a set that is forgotten nothing is left, what waited for a batch neither.
    collector.add(grey(7), grey(1))
    collector.clear()
    with pytest.raises(RestoreFormerError, match=r"Expected faces for brightness, got none\."):
        collector.result(collector.values())
    assert collected(collector, [grey(7)], [grey(4)]) == [3]


def test_a_face_needs_its_truth_at_its_size():
    collector = Brightness(2)
    with pytest.raises(RestoreFormerError, match=r"truth of each face at its size for brightness, got none\."):
        collector.add(grey(1))
    with pytest.raises(RestoreFormerError, match=r"got \(6, 6, 3\) for \(8, 8, 3\)"):
        collector.add(grey(1), grey(1, 6))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_face_without_a_value_is_not_averaged_away(collected):
    ssim = make_collector(SSIM, CPU)
    values = collected(ssim, [grey(1, 16), grey(1)], [grey(2, 16), grey(2)])
    with pytest.raises(RestoreFormerError, match="number for each face from SSIM, got none for 1 of 2: .* too small"):
        ssim.result(values)


def test_a_registered_function_of_one_image(monkeypatch):
    """As BasicSR's NIQE; which way is better the block says."""
    monkeypatch.setitem(
        METRIC_REGISTRY._obj_map, "calculate_shade", lambda img, scale, better: float(img.mean()) * scale
    )
    collector = make_collector({"type": "calculate_shade", "scale": 2, "better": "lower"}, CPU)
    assert not collector.needs_gt and collector.better == "lower" and collector.label == "SHADE (scale 2)"
    collector.add(grey(3))
    collector.add(grey(5), grey(9))
    np.testing.assert_array_equal(collector.values(), [6, 10])


def test_a_metric_has_its_name_with_the_papers_options_alone():
    options = {"type": "calculate_psnr", "crop_border": 0, "test_y_channel": False}
    assert make_collector(options, CPU).label == "PSNR"
    assert make_collector(options | {"crop_border": 4}, CPU).label == "PSNR (crop_border 4)"
    for weights, own in ((None, "a.pth"), ("x/a.pth", "a.pth"), ("b.pth", None)):
        assert labelled("IDD", weights, own) == "IDD"
    assert labelled("IDD", "b.pth", "a.pth") == "IDD (b.pth)"
    assert labelled("angle", "none", None) == "angle (random network)"
    assert better({"type": "calculate_niqe"}) == "lower" and better(options) == "higher"
    assert better(options | {"better": "lower"}) == "lower"
