"""What a test keeps of each frame, against the frames themselves."""

import json

import numpy as np
import pandas as pd
import pytest
from tested_runs import BRIGHTER, FRAMES, HOSTILE, VIDEOS, draw, make_runs

from vqe.demo.steps import read_means
from vqe.state_dict import digest_tensors
from vqe.training.checkpoints import load_network


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_runs(tmp_path_factory)[0]


@pytest.fixture(scope="module")
def frames(run):
    return pd.read_csv(run / "frames.csv.gz")


def test_every_frame_has_a_row_in_order(frames):
    counts = frames.groupby(["subset", "video_id"], sort=False)["frame"].apply(list)
    expected = {(s, v): list(range(FRAMES[s])) for s, ids in VIDEOS.items() for v in ids}
    assert counts.to_dict() == expected


def test_luma_and_rmse_are_the_frames_own(frames):
    def luma(bgr):
        return float((bgr.astype(float) @ [0.114, 0.587, 0.299]).mean())

    rows = frames[frames["video_id"] == HOSTILE].reset_index()
    for number, row in rows.iterrows():
        x = draw(2, number)
        y, enhanced = x + 30, np.rint(np.clip(x + 255 * BRIGHTER[0], 0, 255)).astype(np.uint8)
        assert row["luma_input"] == pytest.approx(luma(x), abs=1e-2)
        assert row["luma_target"] == pytest.approx(luma(y), abs=1e-2)
        assert row["luma_enhanced"] == pytest.approx(luma(enhanced), abs=1e-2)
        error = (y.astype(float) - enhanced) / 128
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)
        assert row["rmse_input"] == pytest.approx(30 / 128, rel=1e-4)


def test_frames_average_to_the_metric_csvs(frames, run):
    means = frames.groupby(["subset", "video_id"]).mean(numeric_only=True).mean()
    for name, value in read_means(run / "results").items():
        if name != "score":
            assert means[name] == pytest.approx(value, rel=1e-4), name
    assert means["input_p"] == pytest.approx(0.5, abs=0.05)  # an input against itself
    assert frames["p"].notna().equals(frames["luma_target"].isna())


def test_provenance_names_the_tested_weights(run):
    facts = json.loads((run / "provenance.json").read_text())
    network, _ = load_network(run / "tested.ckpt")
    assert facts["network"]["tensors_sha256"] == digest_tensors(network.state_dict())
    assert facts["network"]["name"] == "SampleConv"
    assert facts["rates"]["test_unsupervised/video_0012"] == 30
    assert {"python", "torch", "av"} <= set(facts["versions"])
    assert facts["machine"]["computed_on"] == "cpu"
