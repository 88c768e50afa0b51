"""One step of training, test, rendering: what is written, what is kept, how it goes on."""

from pathlib import Path

import av
import pandas as pd
import pytest
import torch
from pytorch_lightning import Callback

from vqe import device
from vqe.critics.frozen_critics import FrozenCritics
from vqe.models import Base, Lut
from vqe.schema import SUPERVISED_COLUMNS, UNSUPERVISED_COLUMNS, leaderboard_score
from vqe.training import assembly, checkpoints
from vqe.training import train as train_vqe
from vqe.training.module import VQEModule


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_folder):
    from conftest import TINY, compose_config

    run = tmp_path_factory.mktemp("run")
    config = compose_config(run, f"dataset.path='{data_folder}'", *TINY, "export_onnx=true")
    return run, train_vqe.train(config)


def test_both_csvs_hold_a_row_a_video(trained):
    run, _ = trained
    supervised = pd.read_csv(run / "results/metrics_supervised.csv")
    unsupervised = pd.read_csv(run / "results/metrics_unsupervised.csv")
    assert tuple(supervised.columns) == SUPERVISED_COLUMNS
    assert tuple(unsupervised.columns) == UNSUPERVISED_COLUMNS
    assert supervised["video_i"].tolist() == ["video_0001", "video_0002"]
    assert unsupervised["video_i"].tolist() == ["video_0001", "video_0002", "video_0003"]
    assert supervised["rmse"].between(0.05, 1).all()
    assert not list((run / "results").glob("*.part"))


def test_score_is_the_leaderboard_s(trained):
    run, numbers = trained
    rmse = pd.read_csv(run / "results/metrics_supervised.csv")["rmse"].mean()
    means = pd.read_csv(run / "results/metrics_unsupervised.csv").iloc[:, 1:].mean()
    names = ["p", *(f"a{i}" for i in range(1, 12))]
    expected = leaderboard_score(dict(zip(names, means, strict=True)), rmse)
    assert numbers["test/score"] == pytest.approx(expected, rel=1e-4)
    assert numbers["test/rmse"] == pytest.approx(rmse, rel=1e-4)


def test_videos_play(trained):
    run, _ = trained
    sizes = {}
    for path in sorted((run / "videos").iterdir()):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert stream.average_rate == 30
            assert sum(1 for _ in container.decode(stream)) == 5
            sizes[path.name] = (stream.width, stream.height)
    assert sizes == {
        "video_0001.mp4": (96, 72),
        "video_0002.mp4": (96, 72),  # 95x71, padded
        "video_0003.mp4": (96, 72),
    }


def test_checkpoints_hold_the_network_alone(trained):
    run, _ = trained
    for name in ("best", "last"):
        checkpoint = checkpoints.read_checkpoint(run / "checkpoints" / f"{name}.ckpt")
        assert checkpoint["state_dict"]
        assert all(key.startswith("network.") for key in checkpoint["state_dict"])
        groups = checkpoint["optimizer_states"][0]["param_groups"]
        in_network = len(
            list(checkpoints.load_network(run / "checkpoints/best.ckpt")[0].parameters())
        )
        assert sum(len(group["params"]) for group in groups) == in_network


def test_loggers_and_pictures(trained):
    run, _ = trained
    assert (run / "before_after_valid.png").stat().st_size > 1000
    assert (run / "before_after_test.png").stat().st_size > 1000
    assert list((run / "tensorboard").glob("events*"))
    metrics = pd.read_csv(run / "csv/metrics.csv")
    assert {"val/mse", "val/rmse", "val/p", "val/score"} <= set(metrics.columns)


def test_exported_network_is_the_best_one(trained):
    import onnxruntime

    run, _ = trained
    network = checkpoints.load_network(run / "checkpoints/best.ckpt")[0].eval()
    frames = torch.rand(1, 3, 72, 96, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(run / "network.onnx")
    state = network.initial_state(1, 72, 96)
    inputs = {"frames": frames} | state
    enhanced, *_ = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        expected, _ = network(frames, state)
    torch.testing.assert_close(torch.from_numpy(enhanced), expected, rtol=0, atol=1e-4)


def test_critics_stay_frozen_over_fit(tiny_config):
    dover = ("model_dover=mobile", "model_dover.weights=untrained", "model_dover.num_clips=1")
    fewer = ("dataloader.batch_size=2", "trainer.limit_val_batches=1")
    config = tiny_config("test=false", *dover, *fewer)
    data, module = assembly.build_data(config), assembly.build_module(config)
    before = {k: v.clone() for k, v in module.critics.vqa.vqa.named_parameters()}
    assembly.build_trainer(config).fit(module, datamodule=data)
    assert not any(part.training for part in module.critics.modules())
    assert all(p.grad is None and not p.requires_grad for p in module.critics.parameters())
    for key, value in module.critics.vqa.vqa.named_parameters():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_training_learns(tiny_config):
    config = tiny_config(
        "loss.weights.vqa=0",
        "augmentation=none",
        "scheduler=none",
        "optimizer.lr=3e-3",
        "trainer.max_epochs=25",
        "trainer.limit_train_batches=null",
        "trainer.check_val_every_n_epoch=25",
        "dataset.holdout_query='subset == \"test_supervised_synthetic\"'",
        "callbacks.render_videos=null",
    )
    numbers = train_vqe.train(config)
    untouched = tiny_config("model_vqe=identity", run=config.paths.run + "_identity")
    untouched.dataset.holdout_query = config.dataset.holdout_query
    assert numbers["test/rmse"] < 0.6 * train_vqe.train(untouched)["test/rmse"]


def test_resume_goes_on_where_training_stopped(tiny_config, tmp_path):
    """Two epochs in one go and one epoch twice end at the same weights."""
    common = ("test=false", "trainer.limit_train_batches=null", "scheduler=none")
    whole = tiny_config(*common, "trainer.max_epochs=2", run=tmp_path / "whole")
    train_vqe.train(whole)
    parts = tmp_path / "parts"
    train_vqe.train(tiny_config(*common, "trainer.max_epochs=1", run=parts / "first"))
    second = tiny_config(
        *common,
        "trainer.max_epochs=2",
        "resume_from=auto",
        f"paths.runs='{parts}'",
        run=parts / "b",
    )
    train_vqe.train(second)
    ends = [
        checkpoints.read_checkpoint(p / "checkpoints/last.ckpt")
        for p in (tmp_path / "whole", parts / "b")
    ]
    assert ends[0]["global_step"] == ends[1]["global_step"]
    for key, value in ends[0]["state_dict"].items():
        torch.testing.assert_close(ends[1]["state_dict"][key], value)


def test_a_schedule_stretches_over_the_epochs_that_resuming_adds(tiny_config, tmp_path):
    common = ("test=false", "trainer.limit_train_batches=2", "callbacks.before_after=null")
    train_vqe.train(tiny_config(*common, "trainer.max_epochs=1", run=tmp_path / "runs/first"))
    runs = f"paths.runs='{tmp_path / 'runs'}'"
    longer = (*common, "trainer.max_epochs=3", "resume_from=auto", runs)
    train_vqe.train(tiny_config(*longer, run=tmp_path / "runs/second"))
    last = checkpoints.read_checkpoint(tmp_path / "runs/second/checkpoints/last.ckpt")
    assert last["global_step"] == last["lr_schedulers"][0]["total_steps"] == 6


class FailOnce(Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 3:
            raise RuntimeError("the power is gone")


def test_a_training_cut_short_keeps_its_best_and_its_last(tiny_config):
    config = tiny_config("trainer.limit_train_batches=2", "trainer.max_epochs=3")
    data, module = assembly.build_data(config), assembly.build_module(config)
    trainer = assembly.build_trainer(config)
    trainer.callbacks.append(FailOnce())
    with pytest.raises(RuntimeError, match="the power is gone"):
        train_vqe.fit(trainer, module, data, None)
    folder = Path(config.paths.run) / "checkpoints"
    steps = {p.stem: checkpoints.read_checkpoint(p)["global_step"] for p in folder.iterdir()}
    assert steps == {"best": 2, "last": 3}


@pytest.mark.parametrize("option", ["default", "ema"])
def test_the_last_weights_are_saved_where_they_are_not_the_best(option, tiny_config):
    config = tiny_config(
        "test=false",
        f"callbacks={option}",
        "trainer.limit_train_batches=1",
        "trainer.max_epochs=3",
        "scheduler=none",
        "optimizer.lr=0.1",  # away from the identity, which is better than what follows
    )
    train_vqe.train(config)
    folder = Path(config.paths.run) / "checkpoints"
    steps = {p.stem: checkpoints.read_checkpoint(p)["global_step"] for p in folder.iterdir()}
    assert steps["best"] < steps["last"] == 3
    values = pd.read_csv(Path(config.paths.run) / "csv/metrics.csv")["val/mse"].dropna().tolist()
    assert steps["best"] == 1 + values.index(min(values))


def test_resume_auto_without_a_run_starts_anew(tmp_path):
    assert train_vqe.find_resume("auto", tmp_path, {}) is None


def test_resume_from_another_network_is_refused(trained):
    run, _ = trained
    with pytest.raises(ValueError, match="Set model_vqe to the same"):
        train_vqe.find_resume(str(run / "checkpoints/last.ckpt"), run, {"_target_": "x"})


def test_a_new_training_starts_from_the_weights_of_another(trained, tiny_config):
    run, _ = trained
    best = run / "checkpoints/best.ckpt"
    config = tiny_config("test=false", "optimizer.lr=0", "optimizer.weight_decay=0")
    config.init_from = str(best)
    config.scheduler = None
    train_vqe.train(config)
    start, end = (
        checkpoints.read_checkpoint(p)
        for p in (best, Path(config.paths.run) / "checkpoints/last.ckpt")
    )
    assert end["global_step"] == 1  # and not one more than the other had
    for key, value in start["state_dict"].items():
        torch.testing.assert_close(end["state_dict"][key], value, rtol=0, atol=0)


def test_starting_from_another_network_is_refused(trained, tiny_config):
    run, _ = trained
    config = tiny_config("model_vqe=sample_conv")
    config.init_from = str(run / "checkpoints/best.ckpt")
    with pytest.raises(ValueError, match="Set model_vqe to the same, or init_from=null"):
        train_vqe.train(config)


def test_other_networks_take_light_and_colour_from_a_nano(trained):
    best = trained[0] / "checkpoints/best.ckpt"
    nano, config = checkpoints.load_network(best)
    sizes = {n: config[n] for n in ("grid_size", "low_res", "width", "global_halvings")}
    base, lut = Base(channels=8, layers=1, **sizes), Lut(table_size=5, **sizes)
    untouched = {name: value.clone() for name, value in lut.to_grid.state_dict().items()}
    for network in (base, lut):
        train_vqe.start_from(best, VQEModule(network, network_config={"_target_": "x"}))
    assert all(torch.equal(v, nano.state_dict()[k]) for k, v in base.nano.state_dict().items())
    branch = nano.branch.state_dict()
    assert all(torch.equal(value, branch[name]) for name, value in lut.branch.state_dict().items())
    assert all(torch.equal(v, untouched[k]) for k, v in lut.to_grid.state_dict().items())
    with pytest.raises(ValueError, match="shape"):
        wider = Base(channels=8, layers=1, **sizes | {"width": 2 * sizes["width"]})
        train_vqe.start_from(best, VQEModule(wider, network_config={"_target_": "x"}))


def test_how_a_network_acts_over_time_is_no_part_of_its_weights(trained):
    best = trained[0] / "checkpoints/best.ckpt"
    config = checkpoints.read_checkpoint(best)[checkpoints.NETWORK_CONFIG]
    older = {name: value for name, value in config.items() if name != "light_change"}
    for other in (older, older | {"smoothing": 0.5}):
        assert checkpoints.read_same_network(best, other, "init_from")
    with pytest.raises(ValueError, match="Set model_vqe to the same"):
        checkpoints.read_same_network(best, config | {"grid_size": 4}, "init_from")


def test_a_schedule_needs_an_end(tiny_config):
    config = tiny_config("trainer.max_epochs=-1", "trainer.limit_val_batches=0")
    with pytest.raises(ValueError, match=r"got trainer.max_epochs=-1. Set trainer.max_epochs"):
        train_vqe.train(config)


def test_critics_wait_for_their_ramp(tiny_config, monkeypatch):
    asked = []
    original = FrozenCritics.forward

    def count(self, *inputs):
        asked.append(len(inputs))
        return original(self, *inputs)

    monkeypatch.setattr(FrozenCritics, "forward", count)
    config = tiny_config(
        "test=false",
        "+loss.ramps.vqa=[0.4,0.9]",
        "trainer.limit_train_batches=4",
        "dataloader.batch_size=2",
        "trainer.limit_val_batches=0",
        "callbacks.checkpoint=null",
        "callbacks.early_stopping=null",
        "trainer.log_every_n_steps=1",
    )
    train_vqe.train(config)
    assert len(asked) == 2  # at half and at three quarters of the training, not before
    logged = pd.read_csv(Path(config.paths.run) / "csv/metrics.csv")
    assert logged["train/vqa_factor"].dropna().tolist() == pytest.approx([0, 0, 0.2, 0.7])
    vqa, mse, loss = (logged[f"train/{name}"].dropna() for name in ("vqa", "sup_mse", "loss"))
    assert len(vqa) == 2
    assert len(mse) == 4
    assert loss.iloc[2] == pytest.approx(mse.iloc[2] + 0.2 * vqa.iloc[0], rel=1e-4)


STAGES = {
    "stage1_fidelity": ("model_vqe=lut",),
    "stage2_texture": (
        "model_vqe=recurrent",
        "crop=[32,32]",
        "dataset.clip_length=2",
        "dataset.clip_stride=1",
    ),
    "stage3_critics": (
        "model_vqe=nano",
        "loss.ramps.vqa=[0.3,0.5]",
    ),  # of three steps
}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_trains(stage, tiny_config):
    config = tiny_config(
        f"experiment={stage}",
        *STAGES[stage],
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=3",
        "dataloader.batch_size=2",
        "test=false",
        "callbacks.before_after=null",
        "trainer.log_every_n_steps=1",
    )
    train_vqe.train(config)
    logged = pd.read_csv(Path(config.paths.run) / "csv/metrics.csv")
    expected = {name for name, weight in config.loss.weights.items() if weight}
    assert {f"train/{name}" for name in expected} <= set(logged.columns)
    if stage == "stage2_texture":
        assert (logged["train/temporal"].dropna() > 0).all()
    assert (Path(config.paths.run) / "checkpoints/best.ckpt").is_file()


def test_only_validation_trains_nothing(tiny_config):
    config = tiny_config("only_validation=true")
    numbers = train_vqe.train(config)
    assert numbers["val/rmse"] > 0
    assert not any(name.startswith(("train/", "test/")) for name in numbers)


def test_precision_on_cpu_is_32():
    assert device.choose_precision("cpu") == "32-true"


def test_a_sweep_gets_the_number_it_names():
    numbers = {"val/mse": 0.1, "test/score": 3.0}
    assert train_vqe.pick_objective(numbers, "test/score") == 3.0
    assert train_vqe.pick_objective(numbers, None) is None
    with pytest.raises(ValueError, match="one of test/score, val/mse, got 'val/loss'"):
        train_vqe.pick_objective(numbers, "val/loss")


def test_identity_is_validated_as_it_is(tiny_config):
    numbers = train_vqe.train(tiny_config("model_vqe=identity", "test=false"))
    assert numbers["val/rmse"] > 0.1
