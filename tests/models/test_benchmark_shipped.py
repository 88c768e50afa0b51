"""What judges shipped weights: its measures against references of their own, and a whole run."""

import json
import math
from types import SimpleNamespace

import cv2
import enhancement
import numpy as np
import pandas as pd
import pytest
import torch
from colour_difference import ciede2000, find_skin, skin_hue_errors, to_lab
from conftest import SMALL_NANO, draw_frame
from enhancement_sheet import Sheet
from enhancement_shipped import (
    JUDGED,
    REAL,
    SETTLING,
    STATIC_FRAMES,
    clipped,
    load_candidates,
    make_static,
    measure_static,
    summarise,
    unrest,
)
from enhancement_speed import SPEED

from vqe.models.shipped import write_shipped
from vqe.video import VideoWriter

ISSUE_KEYS = (
    "rmse rmse_ratio worst_ratio clips_worse psnr ssim delta_e skin_hue_error flicker_ratio "
    "static_flicker clean_psnr critic_p macs_g"
)
# L*, a*, b* of two colours and their difference, of Sharma, Wu and Dalal's table (2005)
SHARMA = (
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (61, -5, 29), 22.8977),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((50, 2.5, 0), (58, 24, 15), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)
SKIN = ((255, 224, 196), (224, 172, 138), (198, 134, 96), (141, 85, 56), (92, 56, 40))
OTHER = ((128, 128, 128), (60, 90, 200), (40, 140, 60), (250, 250, 250), (10, 10, 10))


def planes(colours):
    """Lay colours out as a frame [3,1,N]."""
    return torch.tensor(colours, dtype=torch.float64).T[:, None]


def test_differences_are_those_of_the_formula_s_authors():
    first, second, expected = zip(*SHARMA, strict=True)
    for pair in ((first, second), (second, first)):
        found = ciede2000(*(planes(colours) for colours in pair))[0]
        torch.testing.assert_close(found, torch.tensor(expected).double(), atol=1e-4, rtol=0)


def test_lab_of_the_primaries_is_what_is_published():
    found = to_lab(planes([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0)]))
    published = [(53.24, 80.09, 67.20), (87.73, -86.18, 83.18), (32.30, 79.19, -107.86)]
    published += [(100, 0, 0), (0, 0, 0)]
    torch.testing.assert_close(found, planes(published), atol=0.02, rtol=0)


def test_lab_is_opencv_s():
    picture = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    expected = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    found = to_lab(torch.from_numpy(picture).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 0.5  # OpenCV interpolates in a table


def test_skin_of_all_tones_is_found_and_greys_are_not():
    assert find_skin(planes(SKIN) / 255).all()
    assert not find_skin(planes(OTHER) / 255).any()


def test_hue_error_is_the_angle_between_mean_colours():
    angles = torch.tensor([40.0, 55.0, 350.0]).deg2rad()
    frames = torch.zeros(3, 3, 20, 20)
    frames[:, 1] = 20 * angles.cos()[:, None, None]
    frames[:, 2] = 20 * angles.sin()[:, None, None]
    target = torch.zeros(3, 3, 20, 20)
    target[:, 1] = 20
    skin = torch.zeros(3, 20, 20, dtype=torch.bool)
    skin[:2, :10] = skin[2, :, :6] = True
    noisy = frames + 30 * torch.tensor([1.0, -1.0]).repeat(200).reshape(20, 20)
    for side in (frames, noisy):
        found = skin_hue_errors(side, target, skin)
        torch.testing.assert_close(found, torch.tensor([40.0, 55.0, 10.0]), atol=0.1, rtol=0)
    skin[1] = False
    assert len(skin_hue_errors(frames, target, skin)) == 2


def make_row(**values):
    keys = (*JUDGED, "flicker")
    return dict.fromkeys(keys, 1.0) | values


def test_ratios_are_of_means_and_the_worst_clip_is_named():
    inputs = [make_row(rmse=0.4, flicker=1), make_row(rmse=0.1, flicker=3), make_row(rmse=0.0)]
    rows = [make_row(rmse=0.2, flicker=1), make_row(rmse=0.12, flicker=1), make_row(rmse=0.01)]
    rows[2]["skin_hue_error"] = rows[1]["skin_hue_error"] = math.nan
    rows[0]["clean_psnr"] = 40.0
    found = summarise(rows, inputs)
    assert found["rmse_ratio"] == pytest.approx(0.33 / 0.5)
    assert found["flicker_ratio"] == pytest.approx(3 / 5)
    assert found["worst_ratio"] == pytest.approx(1.2)  # 0.01 counts as half of 0.02
    assert found["clips_worse"] == 1
    assert found["skin_hue_error"] == 1
    assert (found["clean_psnr"], found["clean_worst_psnr"]) == (14, 1)


def test_clipping_and_unrest_are_what_they_say():
    video = torch.full((4, 3, 6, 10), 100, dtype=torch.uint8)
    assert (unrest(video), clipped(video)) == (0, 0)
    video[:, 1, 0] = 255
    assert clipped(video) == pytest.approx(1 / 6)
    grey = torch.full((4, 3, 6, 10), 100, dtype=torch.uint8)
    grey[1::2] += 20
    assert unrest(grey) == pytest.approx(np.std([20, -20, 20]) / 110, rel=1e-4)
    assert math.isnan(unrest(grey[:1]))


def test_a_static_scene_has_new_noise_in_each_frame():
    still = make_static(torch.full((3, 40, 50), 120, dtype=torch.uint8)).float()
    assert still.mean((1, 2, 3)).sub(120).abs().max() < 0.3
    assert still.std(0).mean() == pytest.approx(4, rel=0.1)


def test_static_flicker_is_of_a_memory_that_has_settled():
    times = torch.arange(SETTLING + STATIC_FRAMES)
    start = (60 * 0.8**times).round()  # what a memory does from its first frame on
    restless = 3 * (times % 2)

    def enhance(video):
        assert len(video) == len(times)
        return (video + (start + restless)[:, None, None, None]).to(torch.uint8)

    frame = torch.full((3, 60, 80), 120, dtype=torch.uint8)
    assert measure_static(frame, enhance) == pytest.approx(np.std([0, 3]), rel=0.05)
    steady = measure_static(frame, lambda video: video)
    noise = 4 * np.sqrt(0.299**2 + 0.587**2 + 0.114**2) / np.sqrt(60 * 80)
    assert steady == pytest.approx(noise, rel=0.4)  # of 24 frames


def test_ratios_of_nothing_are_none():
    still = [make_row(flicker=0.0)]
    found = summarise([make_row(flicker=0.5)], still)
    assert found["flicker_ratio"] is None and found["rmse_ratio"] == 1


@pytest.fixture(scope="module")
def places(tmp_path_factory, small_nano):
    """Folders with a nano, with a clean photograph, with a bad video and a bad photograph."""
    root = tmp_path_factory.mktemp("judged")
    found = {name: root / name for name in ("weights", "clean", "real")}
    for folder in found.values():
        folder.mkdir()
    about = {"recipe": "drawn", "data": "nothing", "version": "0"}
    write_shipped(found["weights"] / "nano.safetensors", small_nano, SMALL_NANO, **about)
    cv2.imwrite(str(found["clean"] / "picture.png"), draw_frame(3, 0, 48, 64))
    cv2.imwrite(str(found["real"] / "picture.png"), draw_frame(5, 0, 48, 64) // 3)
    with VideoWriter(found["real"] / "video.mp4") as writer:
        for number in range(6):
            writer.write(draw_frame(4, number, 48, 64) // 2)
    return SimpleNamespace(**found)


def test_a_run_judges_what_is_there_and_trains_nothing(places, tmp_path, monkeypatch):
    monkeypatch.setattr("enhancement_training.train", None)
    monkeypatch.setattr("enhancement.measure_speed", lambda *_, **__: dict.fromkeys(SPEED, 1.5))
    options = ["--shipped", "--weights", str(places.weights), "--quick", "--clips", "1"]
    options += ["--clean", str(places.clean), "--real", str(places.real)]
    options += ["--folder", str(tmp_path / "work"), "--json", str(tmp_path / "judged.json")]
    enhancement.main(options)
    rows = json.loads((tmp_path / "judged.json").read_text())
    assert list(rows) == ["input", "opencv", "nano"]
    assert set(ISSUE_KEYS.split()) < {*JUDGED, *SPEED}
    assert all(set(row) == {*JUDGED, *REAL, *SPEED} for row in rows.values())
    unchanged = rows["input"]
    for name in ("rmse_ratio", "delta_e_ratio", "flicker_ratio", "real_flicker_ratio"):
        assert unchanged[name] == pytest.approx(1)
    assert (unchanged["clips_worse"], unchanged["clean_psnr"]) == (0, None)
    assert unchanged["real_clipping_added"] == 0
    assert 0 < rows["nano"]["clean_psnr"] < 60
    assert [row["macs_g"] for row in rows.values()] == [None, None, 1.5]
    clips = pd.read_csv(tmp_path / "judged_clips.csv")
    assert len(clips) == 3 * (1 + 2)
    nano = clips[(clips.network == "nano") & (clips.source == "picture.png")]
    assert nano.rmse.item() == pytest.approx(rows["nano"]["rmse"])
    sheets = [cv2.imread(str(tmp_path / f"judged_{name}.png")) for name in ("clean", "real")]
    assert [sheet.shape[1] // 256 for sheet in sheets] == [4, 3]  # the clean one has targets
    assert sheets[1].shape[0] == 2 * (18 + 192)


def test_unknown_faults_are_named(places, tmp_path):
    with pytest.raises(ValueError, match=r"expected faults of .*v1.*, got .none."):
        enhancement.main(["--shipped", "--weights", str(places.weights), "--faults", "none"])


def test_missing_networks_are_named(places, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"networks base .* got nano"):
        load_candidates(places.weights, ["base"])
    with pytest.raises(FileNotFoundError, match=r"networks nano, lut.* got none"):
        load_candidates(tmp_path)
    assert list(load_candidates(places.weights, ["nano"])) == ["input", "opencv", "nano"]


def test_a_sheet_without_rows_is_no_file(tmp_path):
    Sheet().write(tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())
