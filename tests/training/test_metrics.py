import numpy as np
import pytest
import torch
from conftest import degrade, draw_frame

from vqe.losses.errors import rmse
from vqe.pixels import dequantise, rgb_chw_u8
from vqe.schema import SCORES, leaderboard_score
from vqe.training.metrics import ValidationMetrics


def test_rmse_is_taken_on_pixels_over_128():
    clean, dark = draw_frame(1, 1), degrade(draw_frame(1, 1))
    by_hand = np.sqrt((((clean.astype(float) - dark.astype(float)) / 128) ** 2).mean())
    frames = [dequantise(rgb_chw_u8(f))[None] for f in (clean, dark)]
    assert rmse(*frames).item() == pytest.approx(by_hand, rel=1e-5)


def test_rmse_is_the_mean_over_all_pixels_of_each_frame():
    frames = torch.zeros(2, 3, 2, 2)
    targets = frames.clone()
    targets[1, 0, 0, 0] = 128 / 255  # one of twelve values off by one unit
    assert rmse(frames, targets).tolist() == pytest.approx([0, (1 / 12) ** 0.5])


def test_shapes_must_match():
    with pytest.raises(ValueError, match="one shape"):
        rmse(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 3))


def test_validation_means_weigh_every_frame_alike():
    metrics = ValidationMetrics()
    scores = torch.linspace(0.1, 0.9, 36).reshape(3, 12)
    metrics.update(torch.tensor([0.04]), scores[:1])
    metrics.update(torch.tensor([0.16, 0.16]), scores[1:])
    means = metrics.compute()
    assert means["mse"] == pytest.approx(0.12)
    assert means["rmse"] == pytest.approx((0.2 + 0.4 + 0.4) / 3)
    by_name = dict(zip(SCORES, scores.mean(0).tolist(), strict=True))
    assert means["score"] == pytest.approx(leaderboard_score(by_name, means["rmse"]), rel=1e-5)


def test_what_no_frame_measured_is_absent():
    metrics = ValidationMetrics()
    metrics.update(torch.tensor([0.04]), torch.zeros(0, 12))
    assert set(metrics.compute()) == {"mse", "rmse"}
