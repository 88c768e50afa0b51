"""A checkpoint tested offline gives what the training run's own test gave."""

import pandas as pd
import pytest
import torch
from conftest import compose_config

from vqe.critics.frozen_critics import FrozenCritics
from vqe.data.dataset import frame_seed
from vqe.demo.steps import AS_IT_IS
from vqe.models import Nano, SampleConv
from vqe.models.shipped import write_shipped
from vqe.training import testing
from vqe.training import train as train_vqe

OPTIONS = (
    "model_vqa.weights=untrained",
    "trainer=cpu",
    "dataloader.eval_batch_size=2",
    "dataloader.num_workers=0",
    "callbacks.progress_bar=null",
)
DOVER = ("model_dover=mobile", "model_dover.weights=untrained", "model_dover.num_clips=1")
SHORT = "dataset.holdout_query='video_id == \"video_0002\"'"


@pytest.fixture
def checkpoint(tmp_path):
    network = SampleConv()
    torch.nn.init.constant_(network.conv.bias, 0.05)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    config = {"_target_": "vqe.models.SampleConv"}
    torch.save({"state_dict": state, "network_config": config}, tmp_path / "a=b c.ckpt")
    return tmp_path / "a=b c.ckpt"


def run_test(run, data_folder, checkpoint, *overrides):
    dover = () if "model_dover=off" in overrides else DOVER
    config = compose_config(
        run, f"dataset.path='{data_folder}'", *OPTIONS, *dover, *overrides, name="test_vqe"
    )
    config.checkpoint = str(checkpoint)
    numbers = testing.test(config)
    files = sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file())
    return numbers, files


@pytest.mark.slow
def test_two_runs_write_the_same_csvs(tmp_path, data_folder, checkpoint):
    runs = [tmp_path / name for name in ("one", "two")]
    for seed, run in enumerate(runs):
        torch.manual_seed(seed)  # what is drawn globally must not matter
        run_test(run, data_folder, checkpoint, SHORT)
    for name in ("metrics_supervised.csv", "metrics_unsupervised.csv"):
        one, two = ((run / "results" / name).read_bytes() for run in runs)
        assert one == two


def test_identity_scores_the_rmse_of_the_input(tmp_path, data_folder, tiny_config):
    config = tiny_config("model_vqe=identity", "callbacks.render_videos=null")
    train_vqe.train(config)  # nothing to train, tests at once
    table = pd.read_csv(tmp_path / "run/results/metrics_supervised.csv").set_index("video_i")
    assert table.loc["video_0001", "rmse"] == pytest.approx(by_hand(data_folder), rel=1e-5)


def by_hand(data_folder):
    import cv2
    import numpy as np

    values = []
    for x in sorted((data_folder / "test/supervised/synthetic/video_0001/x").iterdir()):
        pair = [cv2.imread(str(p)) / 128 for p in (x, x.parents[1] / "y" / x.name)]
        values.append(np.sqrt(np.mean((pair[0] - pair[1]) ** 2)))
    return np.mean(values)


def test_only_csv_renders_nothing(tmp_path, data_folder, checkpoint):
    options = (SHORT, "only_csv=true", "model_dover=off")
    _, files = run_test(tmp_path / "run", data_folder, checkpoint, *options)
    assert "results/metrics_unsupervised.csv" in files
    assert not any(name.endswith(".mp4") for name in files)


def test_only_videos_needs_no_critics(tmp_path, data_folder, checkpoint):
    _, files = run_test(
        tmp_path / "run", data_folder, checkpoint, "only_videos=true", "model_vqa.weights=null"
    )
    assert [name for name in files if name.startswith(("videos/", "results/"))] == [
        f"videos/video_000{i}.mp4" for i in (1, 2, 3)
    ]


def test_query_chooses_videos(tmp_path, data_folder, checkpoint):
    query = 'dataset.holdout_query=\'video_id in ["video_0001", "video_0003"]\''
    _, files = run_test(tmp_path / "run", data_folder, checkpoint, query, "only_videos=true")
    assert [name for name in files if name.startswith("videos/")] == [
        "videos/video_0001.mp4",
        "videos/video_0003.mp4",
    ]


def test_one_id_in_two_subsets_is_refused(tmp_path, data_folder, checkpoint):
    both = pd.concat([pd.read_csv(data_folder / f"{name}.csv") for name in ("train", "test")])
    (tmp_path / "data").symlink_to(data_folder, target_is_directory=True)
    both.to_csv(tmp_path / "both.csv", index=False)
    with pytest.raises(ValueError, match="expected each video_id once, got video_0001"):
        run_test(
            tmp_path / "run",
            data_folder,
            checkpoint,
            f"dataset.holdout='{tmp_path / 'both.csv'}'",
            "only_videos=true",
        )


def test_only_csv_and_only_videos_exclude_each_other(tmp_path, data_folder, checkpoint):
    with pytest.raises(ValueError, match="at most one of only_csv and only_videos"):
        run_test(tmp_path / "run", data_folder, checkpoint, "only_csv=true", "only_videos=true")


def test_critics_see_unsupervised_frames_alone(tmp_path, data_folder, checkpoint, monkeypatch):
    scored = []
    original = FrozenCritics.forward

    def count(self, x, enhanced, seeds):
        scored.extend(seeds.tolist())
        return original(self, x, enhanced, seeds)

    monkeypatch.setattr(FrozenCritics, "forward", count)
    run_test(tmp_path / "run", data_folder, checkpoint, SHORT, "model_dover=off")
    frames = [f"frame_{i:04d}" for i in range(1, 6)]
    assert sorted(scored) == sorted(
        frame_seed("test_unsupervised", "video_0002", f) for f in frames
    )


def test_strength_blends_input_and_output(tmp_path, data_folder):
    torch.manual_seed(0)
    network = Nano()
    for parameter in network.parameters():  # or a fresh network is the identity at any strength
        torch.nn.init.normal_(parameter, std=0.1)
    state = {f"network.{key}": value for key, value in network.state_dict().items()}
    config = {"_target_": "vqe.models.Nano"}
    torch.save({"state_dict": state, "network_config": config}, tmp_path / "nano.ckpt")
    query = "dataset.holdout_query='subset == \"test_supervised_synthetic\"'"
    rmse = {}
    for strength in ("0.5", "0"):
        options = (query, "only_csv=true", f"strength={strength}", "model_dover=off")
        run_test(tmp_path / strength, data_folder, tmp_path / "nano.ckpt", *options)
        table = pd.read_csv(tmp_path / strength / "results/metrics_supervised.csv")
        rmse[strength] = table.set_index("video_i")["rmse"]["video_0001"]
    assert rmse["0"] == pytest.approx(by_hand(data_folder), rel=1e-5)
    assert rmse["0.5"] != pytest.approx(rmse["0"], rel=1e-3)


def test_a_strength_that_does_not_fit_is_refused(tmp_path, data_folder, checkpoint):
    with pytest.raises(ValueError, match=r"strength in \[0,1\], got 1.5"):
        run_test(tmp_path / "run", data_folder, checkpoint, "strength=1.5")
    with pytest.raises(ValueError, match="with a strength, got SampleConv"):
        run_test(tmp_path / "run", data_folder, checkpoint, "strength=0.5")


def test_a_network_of_one_s_own_is_built_from_the_config(tmp_path, data_folder, checkpoint):
    foreign = torch.load(checkpoint, weights_only=True)
    foreign["network_config"] = {"_target_": "somebody.elses.Network"}
    torch.save(foreign, checkpoint)
    own = (SHORT, "only_videos=true", "model_vqe=sample_conv")
    _, files = run_test(tmp_path / "run", data_folder, checkpoint, *own)
    assert "videos/video_0002.mp4" in files


def test_a_shipped_network_is_tested_by_its_name_and_by_a_training_of_no_epochs(
    tmp_path, data_folder, tiny_config, monkeypatch
):
    network, config = SampleConv(), {"_target_": "vqe.models.SampleConv"}
    torch.nn.init.constant_(network.conv.bias, 0.05)
    about = {"recipe": "none", "data": "none", "version": "0"}
    write_shipped(tmp_path / "sampleconv.safetensors", network, config, **about)
    monkeypatch.setattr("vqe.inputs.SHIPPED", tmp_path)
    chosen = ("model_vqe=sample_conv", "callbacks.render_videos=null", "model_dover=off")
    named, _ = run_test(tmp_path / "named", data_folder, "shipped", *chosen)
    trained = train_vqe.train(tiny_config("init_from=shipped", *chosen[:1], *AS_IT_IS))
    assert trained["test/rmse"] == pytest.approx(named["test/rmse"], rel=1e-5)
    untouched = train_vqe.train(tiny_config(*chosen[:1], *AS_IT_IS))
    assert untouched["test/rmse"] != pytest.approx(named["test/rmse"], rel=1e-3)
