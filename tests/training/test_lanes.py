"""Several videos at a time: every byte that is written is that of one after the other."""

import gzip
import json
import logging

import pandas as pd
import pytest
import torch
from clips import make_clip
from conftest import compose_config

from vqe.data import VQEDataModule
from vqe.models.enhancement import VideoEnhancer, enhance
from vqe.schema import FRAME_COLUMNS, VIDEO_COLUMNS
from vqe.training import testing
from vqe.training.module import VQEModule

LENGTHS = {"video_0001": 3, "video_0002": 7, "video_0003": 5, "video_0004": 2, "video_0005": 6}
OPTIONS = (
    "model_vqa=standin",
    "model_dover=off",
    "trainer=cpu",
    "dataset.source=video",
    "dataloader.eval_batch_size=2",
    "callbacks.progress_bar=null",
    "callbacks.split_screen.videos=2",
)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Videos of different lengths, the second in pairs, and the CSV of their frames."""
    root, rows = tmp_path_factory.mktemp("footage"), []
    for number, (name, frames) in enumerate(LENGTHS.items()):
        for side in "xy":
            make_clip(root / f"{name}_{side}.mp4", frames=frames, rate=30)
        subset = "test_supervised_synthetic" if number == 1 else "test_unsupervised"
        target = f"{name}_y.mp4" if number == 1 else ""
        rows += [(f"{name}_x.mp4", target, 48, 64, subset, name, f, 30) for f in range(frames)]
    table = pd.DataFrame(rows, columns=[*FRAME_COLUMNS, *VIDEO_COLUMNS])
    table.to_csv(root / "test.csv", index=False)
    return root


def run_test(run, footage, checkpoint, lanes, workers, *overrides):
    """Test; return the files, less what may differ, and the order of the videos' batches."""
    order, plain = [], VQEModule.test_step

    def look(self, batch, number):
        order.append(self.trainer.datamodule.video_of(int(batch["index"][0]))[1])
        return plain(self, batch, number)

    given = (f"dataset.path='{footage}'", f"checkpoint='{checkpoint}'", *OPTIONS)
    given += (f"dataloader.lanes={lanes}", f"dataloader.num_workers={workers}", *overrides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VQEModule, "test_step", look)
        numbers = testing.test(compose_config(run, *given, name="test_vqe"))
    written = [p for p in run.rglob("*") if p.is_file() and p.parent.name != "records"]
    written.remove(run / "provenance.json")  # which tells the time
    files = {p.relative_to(run).as_posix(): p.read_bytes() for p in written}
    # its header holds the name that it was made under
    files["frames.csv"] = gzip.decompress(files.pop("frames.csv.gz"))
    return numbers, files, json.loads(files.pop("stages.json")), order


@pytest.fixture(scope="module")
def one_lane(tmp_path_factory, footage, nano_checkpoint):
    found = run_test(tmp_path_factory.mktemp("one"), footage, nano_checkpoint, 1, 0)
    assert len(found[1]) == 3 + 4 + 2 + 2  # CSVs, videos, halves; critics.json and a picture
    return found


@pytest.mark.parametrize(
    ("lanes", "workers"),
    [(3, 0)] + [pytest.param(*pair, marks=pytest.mark.slow) for pair in ((2, 2), (3, 3))],
)
def test_lanes_and_workers_change_no_byte(
    tmp_path, footage, nano_checkpoint, one_lane, lanes, workers
):
    numbers, files, _, order = run_test(tmp_path / "run", footage, nano_checkpoint, lanes, workers)
    assert numbers == one_lane[0]
    assert files == one_lane[1]
    assert sorted(order) == sorted(one_lane[3])
    assert len(set(order[:lanes])) == lanes  # they do take turns


def test_lanes_with_kept_input_scores_change_no_byte(
    tmp_path, footage, nano_checkpoint, one_lane, caplog
):
    kept = f"score_cache='{tmp_path / 'kept'}'"
    for lanes, all_kept in ((3, False), (2, True)):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            found = run_test(tmp_path / f"{lanes}", footage, nano_checkpoint, lanes, 0, kept)
        assert found[0] == one_lane[0]
        assert found[1] == one_lane[1]
        [said] = [r.getMessage() for r in caplog.records if "score cache" in r.msg]
        assert (" hits, 0 misses;" in said) == all_kept


def test_the_decoder_reaches_the_videos(footage):
    batches = []
    for decoder in ("cpu", "auto"):
        data = VQEDataModule(str(footage), source="video", decoder=decoder)
        data.setup("test")
        loader = data.test_dataloader()
        assert loader.dataset.reader.videos.decoder == decoder
        batches.append(next(iter(loader)))
    assert torch.equal(batches[0]["x"], batches[1]["x"])
    with pytest.raises(ValueError, match="expected decoder to be one of cpu, cuda, auto"):
        VQEDataModule(str(footage), decoder="nvdec")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("workers", [0, 2])
def test_lanes_on_a_gpu_change_no_number(tmp_path, nano_checkpoint, workers):
    root, rows = tmp_path / "data", []
    for number, frames in enumerate((5, 9, 7)):
        name = f"video_{number}"
        make_clip(root / f"{name}_x.mp4", frames=frames, rate=30, width=320, height=240)
        place = (f"{name}_x.mp4", "", 240, 320, "test_unsupervised", name)
        rows += [(*place, frame, 30) for frame in range(frames)]
    table = pd.DataFrame(rows, columns=[*FRAME_COLUMNS, *VIDEO_COLUMNS])
    table.to_csv(root / "test.csv", index=False)
    gpu = ("trainer=gpu", "trainer.precision=32-true", "model_vqa.precision=fp32")
    plain = run_test(tmp_path / "one", root, nano_checkpoint, 1, 0, *gpu)
    options = (*gpu, "dataset.decoder=auto")
    lanes = run_test(tmp_path / "lanes", root, nano_checkpoint, 2, workers, *options)
    assert lanes[0].keys() == plain[0].keys()
    for name, value in plain[0].items():
        assert lanes[0][name] == pytest.approx(value, rel=1e-3, abs=1e-3), name
    assert len(set(lanes[3][:2])) == 2  # they do take turns
    assert lanes[2]["stages"]["network"]["frames"] == 21


def test_stages_are_counted(one_lane):
    facts, frames = one_lane[2], sum(LENGTHS.values())
    stages = facts["stages"]
    assert facts["frames"] == frames
    assert {name: stage["frames"] for name, stage in stages.items()} == {
        "decode": frames,
        "network": frames,
        "critics": frames - LENGTHS["video_0002"],  # which has targets
        # what is rendered, and the halves of the two longest
        "encode": frames - LENGTHS["video_0002"] + LENGTHS["video_0002"] + LENGTHS["video_0005"],
    }
    assert all(stage["frames_per_second"] > 0 for stage in stages.values())
    assert set(facts["loop_waited_seconds"]) == {"decode", "encode"}
    assert facts["bottleneck"] in stages


def test_each_lane_has_a_memory_of_its_own(small_nano):
    generator = torch.Generator().manual_seed(0)
    videos = {number: torch.rand(1, 6, 3, 48, 64, generator=generator) for number in range(3)}
    lanes = VideoEnhancer()
    lanes.begin(3)
    with torch.no_grad():
        parts = {number: [] for number in videos}
        for first in range(0, 6, 2):
            for number, frames in videos.items():
                part = frames[0, first : first + 2]
                parts[number].append(lanes.enhance(small_nano, part, number))
        for number, frames in videos.items():
            assert torch.equal(torch.cat(parts[number]), enhance(small_nano, frames)[0])


def test_memories_are_as_many_as_lanes(small_nano):
    lanes = VideoEnhancer()
    lanes.begin(2)
    frames = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        for number in range(5):
            lanes.enhance(small_nano, frames, number)
            assert len(lanes._states) <= 2
