from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import stats

from restoreformer.datasets import degradation
from restoreformer.datasets.degradation import (
    LUMA,
    PRESETS,
    RELEASED,
    Degradation,
    Strengths,
    build_degradation,
    jpeg,
)
from restoreformer.errors import RestoreFormerError

NONE = {"blur_sigma": (0, 0), "downsample": (1, 1), "noise": (0, 0), "jpeg": (100, 100)}


def degrade(image, seed=0, **ranges):
    return Degradation(**{**NONE, **ranges})(image, np.random.default_rng(seed))


def test_defaults_are_the_papers():
    d = Degradation()
    assert (d.blur_sigma, d.downsample, d.noise, d.jpeg) == ((0.2, 10), (1, 8), (0, 20), (60, 100))


def test_same_seed_same_result(face):
    first = Degradation()(face, np.random.default_rng(3))
    assert first.shape == face.shape and first.dtype == np.uint8
    assert (first == Degradation()(face, np.random.default_rng(3))).all()
    assert (first != Degradation()(face, np.random.default_rng(4))).any()


def test_nothing_but_jpeg(face):
    assert (degrade(face, jpeg=(60, 60)) == jpeg(face, 60)).all()


def test_jpeg_is_opencvs_at_that_quality(face):
    _, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert (jpeg(face, 60) == cv2.imdecode(data, cv2.IMREAD_COLOR)).all()


def test_blur_is_a_gaussian_of_that_sigma():
    """The width of a blurred line, in float64."""
    image = np.zeros((81, 81, 3), np.uint8)
    image[:, 40] = 255
    row = degrade(image, blur_sigma=(3, 3))[40, :, 0].astype(float)
    x = np.arange(81) - 40
    assert np.sqrt((row * x**2).sum() / row.sum()) == pytest.approx(3, rel=0.05)


def test_downsampling_is_bilinear_there_and_back(face):
    small = cv2.resize(face.astype(np.float32), (40, 40), interpolation=cv2.INTER_LINEAR)
    expected = jpeg(np.rint(small).astype(np.uint8), 100)
    expected = cv2.resize(expected, (160, 160), interpolation=cv2.INTER_LINEAR)
    assert (degrade(face, downsample=(4, 4)) == expected).all()


def test_noise_has_that_sigma():
    grey = np.full((256, 256, 3), 128, np.uint8)
    noisy = degrade(grey, noise=(20, 20)).astype(float)
    # JPEG at 100 keeps it but for rounding and 4:2:0 colour; luma is the sum of three noises.
    luma = noisy @ (0.114, 0.587, 0.299)
    assert luma.std() == pytest.approx(20 * np.sqrt(0.114**2 + 0.587**2 + 0.299**2), rel=0.05)
    assert luma.mean() == pytest.approx(128, abs=0.5)


def test_values_are_drawn_from_the_whole_range(face):
    """Quality alone varies: the file sizes of 60 and 100 are both approached."""
    results = {degrade(face, seed, jpeg=(60, 100)).tobytes() for seed in range(200)}
    qualities = {q for q in range(60, 101) if jpeg(face, q).tobytes() in results}
    assert len(qualities) > 35 and {61, 99} & qualities


@pytest.mark.parametrize(
    "key, value",
    [("blur_sigma", (3, 1)), ("downsample", (0.05, 1)), ("noise", 5), ("jpeg", (60, 101)), ("jpeg", ("60", "100"))],
)
def test_ranges_without_sense(key, value):
    with pytest.raises(RestoreFormerError, match=f"degradation: {key} to be two ascending numbers"):
        Degradation(**{key: value})


def test_kernel_must_be_odd():
    for size in (40, 0, -1, 1001, True, 41.0, "41", None, [41, 40], {}):
        with pytest.raises(RestoreFormerError, match="blur_kernel_size to be odd"):
            Degradation(blur_kernel_size=size)


def test_kernels_of_the_released_code():
    """Of two sizes, every second one with two sigmas and a direction."""
    drawn = [RELEASED.draw(np.random.default_rng(seed)) for seed in range(10_000)]
    assert {d.blur_kernel_size for d in drawn} == {39, 41}
    assert np.mean([d.blur_kernel_size == 39 for d in drawn]) == pytest.approx(0.5, abs=0.02)
    turned = [d for d in drawn if d.across is not None]
    assert len(turned) / len(drawn) == pytest.approx(0.5, abs=0.02)
    assert uniform([d.across for d in turned], 0.1, 10) and uniform([d.direction for d in turned], -np.pi, np.pi)
    for wrong in ({"blur_kernel_size": [39, 40]}, {"blur_kernel_size": []}, {"anisotropic": 1.5}, {"gray_prob": "1"}):
        with pytest.raises(RestoreFormerError, match="Expected degradation"):
            Degradation(**wrong)


def uniform(values, low, high):
    """Kolmogorov's test, and that the ends are neared."""
    values = np.array(values)
    inside = low <= values.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < values.max() <= high
    return inside and stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_draws_of_the_paper_are_uniform_and_independent():
    rng = np.random.default_rng(0)
    drawn = [Degradation().draw(rng) for _ in range(10_000)]
    assert uniform([d.blur_sigma for d in drawn], 0.2, 10)
    assert uniform([d.downsample for d in drawn], 1, 8)
    assert uniform([d.noise for d in drawn], 0, 20)
    # Whole numbers: 60 and 100 stand for half a step each.
    counts = np.bincount([d.jpeg for d in drawn], minlength=101)[60:]
    expected = np.r_[0.5, np.ones(39), 0.5] * len(drawn) / 40
    assert counts.sum() == len(drawn) and stats.chisquare(counts, expected).pvalue > 0.01
    table = np.array([(d.blur_sigma, d.downsample, d.noise, d.jpeg) for d in drawn])
    assert np.abs(np.corrcoef(table.T) - np.eye(4)).max() < 0.04
    assert all(d[4:] == (41, None, 0.0, None, None, False) for d in drawn)


def test_levels_measured_back(face):
    """From the small image within, which the last step but enlarges: here it does not even that."""
    grey = np.full((512, 512, 3), 128, np.uint8)
    for delta in (5.0, 10.0, 18.0):
        noisy = degrade(grey, noise=(delta, delta)).astype(float) @ LUMA
        assert noisy.std() == pytest.approx(delta * np.sqrt((LUMA**2).sum()), rel=0.05)
    # A compression of what was so compressed changes least at its own quality.
    for quality in (60, 75, 92):
        out = degrade(face, jpeg=(quality, quality))
        change = {q: np.abs(jpeg(out, q).astype(float) - out).mean() for q in range(50, 101, 1)}
        assert abs(min(change, key=change.get) - quality) <= 1
    # Enlarging keeps what it enlarged: the spectrum ends where the small image's does.
    out = degrade(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8), downsample=(4, 4))
    power = np.abs(np.fft.fft2(out[:, :, 1] - out[:, :, 1].mean())) ** 2
    frequency = np.abs(np.fft.fftfreq(128))
    beyond = power[np.maximum.outer(frequency, frequency) > 2 / 8].sum() / power.sum()
    assert out.shape == (128, 128, 3) and beyond < 0.03


def test_the_order_of_the_steps(face, monkeypatch):
    steps = []

    def spy(module, name, label):
        real = getattr(module, name)

        def call(*args, **kwargs):
            steps.append((label, args[0].shape[0]))
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    spy(degradation, "blur_and_resize", "blur and resize")
    spy(degradation, "jpeg", "JPEG")
    spy(degradation.cv2, "resize", "resize back")

    class Rng:
        def standard_normal(self, shape, dtype):
            steps.append(("noise", shape[0]))
            return np.full(shape, 3, dtype)

    drawn = Strengths(0.0, 4.0, 5.0, 100, 41)
    out = Degradation()(np.full((64, 64, 3), 100, np.uint8), Rng(), drawn)
    assert steps == [("blur and resize", 64), ("noise", 16), ("JPEG", 16), ("resize back", 16)]
    assert (out == 115).all()


def test_float64_rounds_as_float32_nearly_always(face):
    """So that a test set may be made exactly, and stay what the network was trained on."""
    for seed in range(5):
        fast, exact = (RELEASED(face, np.random.default_rng(seed), exact=e).astype(int) for e in (False, True))
        assert np.abs(fast - exact).max() <= 3 and (fast != exact).mean() < 0.01


def test_presets_and_what_replaces_their_values():
    assert build_degradation({}, 512) == build_degradation({"preset": "paper"}, 128) == Degradation()
    released = build_degradation({"preset": "released", "noise": [0, 10]}, 512)
    assert released == replace(RELEASED, noise=[0, 10])
    assert (RELEASED.blur_sigma, RELEASED.downsample, RELEASED.noise, RELEASED.jpeg) == (
        (0.1, 10), (0.8, 8), (0, 20), (60, 100)
    )  # fmt: skip
    assert (RELEASED.anisotropic, RELEASED.blur_kernel_size) == (0.5, (39, 41))
    mixed = PRESETS["mixed"]
    assert (mixed.color_jitter_prob, mixed.color_jitter_shift, mixed.tone_prob, mixed.gray_prob) == (0.3, 20, 0.3, 0.01)
    with pytest.raises(RestoreFormerError, match="preset to be one of paper, released, mixed, got papers"):
        build_degradation({"preset": "papers"}, 512)
    for preset in (None, ["paper"], {}, 1):
        with pytest.raises(RestoreFormerError, match="preset to be one of"):
            build_degradation({"preset": preset}, 512)


def test_ranges_are_scaled_from_the_reference_size():
    small = build_degradation({"reference_size": 512}, 128)
    assert small.blur_sigma == (0.05, 2.5)
    assert small.downsample == (1, 2.75)
    assert small.blur_kernel_size == (11,)
    assert (small.noise, small.jpeg) == (PRESETS["paper"].noise, PRESETS["paper"].jpeg)
    released = build_degradation({"preset": "released", "reference_size": 512, "jpeg": [50, 60]}, 256)
    assert released.blur_sigma == (0.05, 5) and released.downsample == pytest.approx((0.9, 4.5))
    assert released.blur_kernel_size == (19, 21) and released.jpeg == [50, 60]
    same = build_degradation({"preset": "mixed", "reference_size": 512}, 512)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    unscaled = PRESETS["mixed"](image, np.random.default_rng(1))
    assert (same(image, np.random.default_rng(1)) == unscaled).all()


def test_scaled_degradation_is_the_large_one_seen_from_afar(face):
    """Blur and shrinking of a large face, reduced, agree with the scaled ones of the reduced face."""
    large = cv2.resize(face, (512, 512), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    ranges = {**NONE, "blur_sigma": (6, 6), "downsample": (1, 1), "blur_kernel_size": 41}
    degradation = Degradation(**ranges)
    expected = cv2.resize(degradation(large, np.random.default_rng(0)), (128, 128), interpolation=cv2.INTER_AREA)
    result = degradation.scaled(1 / 4)(small, np.random.default_rng(0))
    assert np.abs(result.astype(float) - expected).mean() < 1


@pytest.mark.parametrize("reference", [0, -1, 512.0, "512", True, 10**6])
def test_a_wrong_reference_size_is_refused(reference):
    with pytest.raises(RestoreFormerError, match="reference_size to be a whole number"):
        build_degradation({"reference_size": reference}, 128)


def test_what_is_out_of_range_after_scaling_is_said_so():
    with pytest.raises(RestoreFormerError, match="after scaling from reference_size 1 to 128"):
        build_degradation({"reference_size": 1}, 128)


def test_colours_of_the_mixed_preset_are_drawn_as_often_as_told():
    rng = np.random.default_rng(0)
    drawn = [PRESETS["mixed"].draw(rng) for _ in range(10_000)]
    shifts = [s for d in drawn for s in d.shift or ()]
    assert len(shifts) / 3 / len(drawn) == pytest.approx(0.3, abs=0.02) and uniform(shifts, -20, 20)
    tones = np.array([d.tone for d in drawn if d.tone])
    assert len(tones) / len(drawn) == pytest.approx(0.3, abs=0.02)
    assert all(uniform(t, *r) for t, r in zip(tones.T, [(0.5, 1.5), (0.5, 1.5), (0, 1.5)], strict=True))
    assert np.mean([d.gray for d in drawn]) == pytest.approx(0.01, abs=0.004)


def test_colours_by_hand(face):
    plain = Strengths(0.0, 1.0, 0.0, 100, 41)

    def colours(**drawn):
        return Degradation()(face, np.random.default_rng(0), plain._replace(**drawn)).astype(float)

    base = colours()
    luma = (base @ LUMA)[:, :, None]
    assert np.abs(colours(shift=(10.0, 0.0, -10.0)) - (base + [10, 0, -10]).clip(0, 255)).max() <= 0.5
    assert np.abs(colours(tone=(0.5, 1.0, 1.0)) - base / 2).max() <= 0.5
    assert np.abs(colours(tone=(1.0, 0.5, 1.0)) - (base + luma.mean()) / 2).max() <= 0.51
    assert np.abs(colours(tone=(1.0, 1.0, 0.0)) - luma).max() <= 0.51
    assert np.abs(colours(gray=True) - luma).max() <= 0.51
    everything = colours(shift=(9.0, 0.0, 0.0), tone=(0.9, 0.8, 0.7), gray=True)
    shifted = ((base + [9, 0, 0]) @ LUMA)[:, :, None]
    assert np.abs(everything - 0.9 * (0.8 * shifted + 0.2 * shifted.mean())).max() <= 0.6
