"""What a critic should say of a variant: every fault costs, undoing it pays, overdoing it costs."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from critic_pictures import draw_picture

from vqe.critic_training import PostEdit, Variant, make_variant, preference, rate
from vqe.critic_training.targets import MEANINGS, damages, grey_noise, grey_stops, severity
from vqe.critic_training.variant_sampler import shrink_variant
from vqe.schema import ATTRIBUTES, INVERTED_SCORES
from vqe.synthesis import Parameters, Span


def both(value):
    return Span(value, value)


def camera(**parameters):
    return Variant(Parameters(**parameters))


def edit(**parameters):
    return Variant(edit=PostEdit(**parameters))


CLEAN = Variant()
FAULTS = {  # the score that must tell, and ever worse variants
    "dark": ("a2", [camera(exposure_stops=both(-s)) for s in (0.5, 1, 2, 3)]),
    "bright": ("a2", [camera(exposure_stops=both(s)) for s in (0.3, 0.8, 1.5)]),
    "gamma": ("a2", [camera(gamma=both(g)) for g in (1.1, 1.3, 1.8)]),
    "brightened too far": ("a2", [edit(stops=s) for s in (0.3, 0.8, 1.5)]),
    "side light": ("a11", [camera(side_light_stops=both(s)) for s in (0.3, 0.8, 1.5)]),
    "warm": ("a5", [camera(warmth_stops=both(s)) for s in (0.2, 0.6, 1.2)]),
    "cold": ("a5", [edit(warmth_stops=-s) for s in (0.2, 0.6, 1.2)]),
    "magenta": ("a5", [camera(tint_stops=both(-s)) for s in (0.1, 0.2, 0.4)]),
    "pale": ("a6", [camera(saturation=both(s)) for s in (0.8, 0.5, 0.1)]),
    "gaudy": ("a6", [edit(saturation=s) for s in (1.2, 1.6, 2.2)]),
    "flat": ("a8", [edit(contrast=c) for c in (0.9, 0.7, 0.5)]),
    "harsh": ("a8", [edit(contrast=c) for c in (1.1, 1.4, 1.9)]),
    "blur": ("a3", [camera(blur_sigma=s) for s in (0.5, 1, 2)]),
    "resize": ("a3", [camera(resize=s) for s in (0.8, 0.5, 0.3)]),
    "smooth": ("a3", [edit(smooth_sigma=s) for s in (0.5, 1, 2)]),
    "sharpened": ("a9", [edit(sharpen=s) for s in (0.5, 1, 3)]),
    "shot noise": ("a4", [camera(shot_noise=s) for s in (0.01, 0.05, 0.1)]),
    "read noise": ("a4", [camera(read_noise=(s, s, s)) for s in (0.001, 0.005, 0.02)]),
    "jpeg": ("a7", [camera(jpeg_quality=q) for q in (80, 40, 10)]),
    "h264": ("a7", [Variant(h264_qp=q) for q in (28, 36, 46)]),
}


def oriented(variant):
    return {k: 1 - v if k in INVERTED_SCORES else v for k, v in rate(variant).items()}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_lowers_its_score_and_the_whole_step_by_step(fault):
    name, variants = FAULTS[fault]
    steps = [CLEAN, *variants]
    for better, worse in itertools.pairwise(steps):
        assert oriented(better)[name] > oriented(worse)[name]
        assert severity(better) < severity(worse)
        assert oriented(better)["a1"] > oriented(worse)["a1"]
        assert preference(severity(worse), severity(better)) > 0.5
        assert all(oriented(better)[k] >= oriented(worse)[k] - 1e-9 for k in ATTRIBUTES)


def test_scores_are_named_and_keep_away_from_the_clamps():
    assert set(rate(CLEAN)) == set(MEANINGS) == set(ATTRIBUTES)
    ruin = Variant(
        Parameters(exposure_stops=both(-6), shot_noise=1.0, blur_sigma=20.0, jpeg_quality=1),
        edit=PostEdit(warmth_stops=4, saturation=4, contrast=0.1, sharpen=6),
    )
    for variant in (CLEAN, ruin):
        assert all(0.05 <= score <= 0.95 for score in rate(variant).values())
    assert rate(CLEAN)["a1"] == pytest.approx(0.95)
    assert rate(CLEAN)["a4"] == pytest.approx(0.05)


def test_preference_is_even_for_equals_and_turns_with_the_order():
    assert preference(0.4, 0.4) == 0.5
    assert preference(0.7, 0.4) == pytest.approx(0.5 + 0.45 * math.tanh(1))
    assert preference(0.1, 0.9) + preference(0.9, 0.1) == pytest.approx(1)
    assert 0.05 <= preference(0, 1) < preference(1, 0) <= 0.95


def test_light_taken_and_given_back_is_no_damage_but_its_noise_stays():
    bad = camera(exposure_stops=both(-2), warmth_stops=both(0.8), shot_noise=0.05)
    right = dataclasses.replace(bad, edit=PostEdit(stops=2, warmth_stops=-0.8))
    too_far = dataclasses.replace(bad, edit=PostEdit(stops=3.5, warmth_stops=-0.8))
    assert damages(right)["brightness"] == pytest.approx(0, abs=1e-9)
    assert damages(right)["cast"] == pytest.approx(0)
    assert damages(right)["noise"] > damages(bad)["noise"]  # brighter noise shows more
    assert severity(right) < severity(bad)
    assert severity(too_far) > severity(right)


def test_noise_is_what_a_grey_patch_gets():
    grey = np.full((256, 256, 3), 118, np.uint8)  # 18 % of white in linear light
    for variant in (
        camera(shot_noise=0.08),
        camera(read_noise=(0.01, 0.01, 0.01)),
        Variant(Parameters(shot_noise=0.06), edit=PostEdit(smooth_sigma=1.0)),
        Variant(Parameters(shot_noise=0.05, exposure_stops=both(-1.5)), edit=PostEdit(stops=1.5)),
    ):
        spread = make_variant(grey, variant, seed=1).astype(np.float64).std(axis=(0, 1)).mean()
        assert spread / 255 == pytest.approx(grey_noise(variant), rel=0.2)


def test_brightness_is_what_a_grey_patch_gets():
    grey = np.full((16, 16, 3), 118, np.uint8)
    for variant in (
        camera(exposure_stops=both(-1)),
        camera(gamma=both(1.4)),
        Variant(Parameters(exposure_stops=both(-2)), edit=PostEdit(stops=2.5)),
    ):
        code = make_variant(grey, variant, seed=1).mean() / 255
        light = ((code + 0.055) / 1.055) ** 2.4
        assert math.log2(light / 0.18) == pytest.approx(grey_stops(variant), abs=0.15)


def test_a_share_of_the_faults_is_between_none_and_all():
    bad = Variant(
        Parameters(
            exposure_stops=both(-2.0),
            saturation=both(0.4),
            blur_sigma=2.0,
            resize=0.5,
            shot_noise=0.08,
            read_noise=(0.01, 0.02, 0.03),
            jpeg_quality=20,
        ),
        h264_qp=40,
    )
    half = shrink_variant(bad, 0.5)
    assert severity(CLEAN) < severity(half) < severity(bad)
    assert all(damages(half)[kind] <= damages(bad)[kind] for kind in damages(bad))
    assert half.camera.exposure_stops == both(-1.0) and half.camera.resize == 0.75
    assert half.camera.jpeg_quality == 58 and half.h264_qp == 32
    assert severity(shrink_variant(bad, 0)) == pytest.approx(0)


def test_neutral_variants_change_no_bit_and_all_others_do():
    picture = draw_picture(0)
    assert np.array_equal(make_variant(picture, CLEAN, seed=0), picture)
    for _, variants in FAULTS.values():
        made = make_variant(picture, variants[-1], seed=0)
        assert made.shape == picture.shape and made.dtype == np.uint8
        assert not np.array_equal(made, picture)
