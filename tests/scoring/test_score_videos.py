"""The scoring command: means over frames, a row for every video, whatever one of them holds."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from clips import ffmpeg_frames, make_clip
from conftest import compose_config
from hydra.core.global_hydra import GlobalHydra

from vqe import score_videos as command
from vqe.critics import FrozenDOVER, FrozenVQA, UNetLite, untrained_
from vqe.data.dataset import frame_seed
from vqe.schema import SCORES
from vqe.scoring import VideoScorer, find_reference, find_videos, pairs
from vqe.scoring.score_videos import score_videos
from vqe.video import VideoWriter, iter_frames

WIDTH, HEIGHT = 64, 48
DOVER = ["dover_technical", "dover_aesthetic", "dover_overall"]
MOBILE = ("model_dover=mobile", "model_dover.weights=untrained", "model_dover.num_clips=1")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """`enhanced/` with a.mp4, deep/b.mkv; `inputs/` with what they were made from."""
    root = tmp_path_factory.mktemp("vidéos")
    make_clip(root / "enhanced/a.mp4", frames=7, rate=25)
    make_clip(root / "enhanced/deep/b.mkv", frames=5, rate=24)
    (root / "enhanced/notes.txt").write_text("no video")
    (root / "enhanced/.hidden.mp4").write_text("no video")
    make_clip(root / "inputs/a_x.mp4", frames=7, rate=25, options={"movflags": "faststart"})
    make_clip(root / "inputs/deep/b.mp4", frames=5, rate=24)
    return root


@pytest.fixture
def score(tmp_path):
    """Return a function that scores as configured; the CSV is `tmp_path/out/scores.csv`."""

    def run(source, *overrides):
        overrides = (f"input='{source}'", f"output='{tmp_path}/out/scores.csv'", *overrides)
        config = compose_config(tmp_path, "device=cpu", *overrides, name="score_videos")
        return score_videos(config).set_index("path")

    return run


def read_rgb(path, width=WIDTH, height=HEIGHT, fps=None):
    bgr = ffmpeg_frames(path, fps, width, height)
    return torch.from_numpy(bgr[..., ::-1].transpose(0, 3, 1, 2).copy())


def seeds_of(name, numbers):
    return torch.tensor([frame_seed("", name, str(number)) for number in numbers])


def compare(reference, frames, d_reference, d_frames):
    """Mean p and a1..a11 of uint8 RGB frames by the plain VQA."""
    vqa = untrained_(UNetLite()).eval()
    pair = [(f.flip(1).float() - 128) / 128 for f in (reference, frames)]
    with torch.no_grad():
        p, _, a = vqa(*pair, d_reference, d_frames)
    return torch.cat([p, a], dim=1).mean(0)


def constant(count, value=0.5):
    return torch.full((count, 1), value)


def test_scores_are_means_over_every_so_many_frames(videos, score, tmp_path):
    table = score(videos / "enhanced", *MOBILE, "every=4", "batch_size=2")
    assert list(table.index) == ["a.mp4", "deep/b.mkv"]
    assert list(table.columns) == ["frames", *DOVER, "error"]
    assert table["frames"].tolist() == [2, 2]  # of 7 and 5
    dover = FrozenDOVER("mobile", "untrained", num_clips=1)
    for name in table.index:
        frames = read_rgb(videos / "enhanced" / name)[::4]
        seeds = seeds_of(name, range(0, 4 * len(frames), 4))
        expected = [branch.mean().item() for branch in dover.branches(frames, seeds)]
        assert table.loc[name, DOVER].tolist() == pytest.approx(expected, abs=1e-5)
    written = pd.read_csv(tmp_path / "out/scores.csv", index_col="path")
    np.testing.assert_allclose(written[DOVER], table[DOVER].astype(float), atol=1e-6)
    assert written["error"].isna().all()


def test_a_run_repeats(videos, score, tmp_path):
    overrides = (*MOBILE, "every=10")
    texts = []
    for _ in range(2):
        score(videos / "enhanced/a.mp4", *overrides)
        texts.append((tmp_path / "out/scores.csv").read_bytes())
        torch.rand(3)
    assert texts[0] == texts[1]


def test_a_reference_adds_the_vqa_s_scores(videos, score):
    table = score(
        videos / "enhanced",
        *(f"reference='{videos}/inputs'", "every=2", "batch_size=3"),
        *("model_dover=off", "model_vqa.weights=untrained"),
    )
    assert list(table.columns) == ["frames", *DOVER, *SCORES, "error"]
    assert (table["error"] == "").all()
    for name, original in {"a.mp4": "a_x.mp4", "deep/b.mkv": "deep/b.mp4"}.items():
        frames = read_rgb(videos / "enhanced" / name, fps=30)[::2]
        reference = read_rgb(videos / "inputs" / original, fps=30)[::2]
        expected = compare(reference, frames, constant(len(frames)), constant(len(frames)))
        values = table.loc[name, list(SCORES)].astype(float).to_numpy()
        np.testing.assert_allclose(values, expected, atol=1e-5)
    assert table[DOVER[0]].isna().all() and (table[DOVER[2]] == 0.5).all()


def test_the_reference_is_the_vqa_s_first_frame(videos, score, tmp_path):
    make_clip(tmp_path / "other.mp4", frames=7, pix_fmt="gray")
    there, back = (
        score(
            one,
            *(f"reference='{other}'", "every=4", "model_dover=off"),
            "model_vqa.weights=untrained",
        )
        for one, other in (
            (videos / "enhanced/a.mp4", tmp_path / "other.mp4"),
            (tmp_path / "other.mp4", videos / "enhanced/a.mp4"),
        )
    )
    frames, gray = (
        read_rgb(p, fps=30)[::4] for p in (videos / "enhanced/a.mp4", tmp_path / "other.mp4")
    )
    half = constant(2)
    assert there["p"].item() == pytest.approx(compare(gray, frames, half, half)[0].item(), abs=1e-5)
    assert back["a3"].item() == pytest.approx(compare(frames, gray, half, half)[3].item(), abs=1e-5)
    assert there["a3"].item() != pytest.approx(back["a3"].item(), abs=1e-4)


class MeanDOVER(torch.nn.Module):
    """Give a clip the means of its colours for scores."""

    view = "clip"

    def __init__(self):
        super().__init__()
        self.seen = []

    def branches(self, clips, seeds):
        self.seen.append((tuple(clips.shape), seeds.tolist()))
        return clips.double().div(255).mean(dim=(1, 3, 4)).float().unbind(1)


def test_the_clip_view_scores_32_frames_at_once(tmp_path):
    video, reference = tmp_path / "long.mp4", tmp_path / "gray.mp4"
    make_clip(video, frames=35, rate=30)
    make_clip(reference, frames=35, rate=30, pix_fmt="gray")
    dover = MeanDOVER()
    scorer = VideoScorer(dover, FrozenVQA("untrained"), every=1, batch_size=16, device="cpu")
    row = scorer.score("long.mp4", video, reference)
    assert row["frames"] == 35
    first, last = seeds_of("long.mp4", [0, 32]).tolist()
    assert dover.seen == [
        ((2, 32, 3, HEIGHT, WIDTH), [first] * 2),
        ((2, 3, 3, HEIGHT, WIDTH), [last] * 2),
    ]
    frames, references = (read_rgb(path) for path in (video, reference))
    d_frames, d_references = (
        torch.cat([constant(len(c), c[:, 2].double().mean().item() / 255) for c in side.split(32)])
        for side in (frames, references)
    )
    assert row["dover_overall"] == pytest.approx(d_frames.mean().item(), abs=1e-5)
    expected = compare(references, frames, d_references, d_frames)
    assert [row[name] for name in SCORES] == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_command_takes_the_view_from_the_config(videos, score):
    row = score(videos / "enhanced/a.mp4", *MOBILE, "model_dover.view=clip", "every=4").iloc[0]
    clip = read_rgb(videos / "enhanced/a.mp4")[None, ::4]
    dover = FrozenDOVER("mobile", "untrained", num_clips=1, view="clip")
    expected = torch.cat(dover.branches(clip, seeds_of("a.mp4", [0]))).tolist()
    assert row[DOVER].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("width", "height"), [(65, 49), (17, 16), (8, 6)])
def test_any_size_is_scored(score, tmp_path, width, height):
    make_clip(tmp_path / "v.mkv", width=width, height=height, frames=1, pix_fmt="yuv444p")
    row = score(tmp_path / "v.mkv", *MOBILE).iloc[0]
    assert row["error"] == "" and 0 < row["dover_overall"] < 1
    both = ("model_dover=off", "model_vqa.weights=untrained", f"reference='{tmp_path}/v.mkv'")
    row = score(tmp_path / "v.mkv", *both).iloc[0]
    if height < 16:
        assert "expected frames of at least 16x16 for the VQA, got 8x6" in row["error"]
    else:
        assert row["error"] == "" and np.isfinite(row["p"])


def test_what_cannot_be_scored_says_why_and_the_rest_is_scored(videos, tmp_path, score, caplog):
    source, inputs = tmp_path / "source", tmp_path / "inputs"
    for name in ("cut", "empty", "good", "lone", "long", "small", "two"):
        make_clip(source / f"{name}.mp4", frames=4)
        shutil.copytree(source, inputs, dirs_exist_ok=True)
    whole = (source / "cut.mp4").read_bytes()
    (source / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (source / "empty.mp4").write_bytes(b"")
    (inputs / "lone.mp4").unlink()
    make_clip(inputs / "long.mp4", frames=5)
    make_clip(inputs / "small.mp4", frames=4, width=32, height=32)
    (inputs / "two.mp4").rename(inputs / "two.mkv")
    make_clip(inputs / "two.avi", frames=4)
    table = score(source, f"reference='{inputs}'", "model_dover=off", "model_vqa.weights=untrained")
    for name, words in {
        "cut": "Is the file whole",
        "empty": "got an empty file",
        "lone": "expected the reference lone_x or lone",
        "long": "expected a video as long as",
        "small": "expected frames of 32x32 as in",
        "two": "expected one reference for two.mp4, got two.avi, two.mkv",
    }.items():
        row = table.loc[f"{name}.mp4"]
        assert words in row["error"] and row["frames"] == 0 and np.isnan(row["p"])
        assert row["error"] in caplog.text
    assert table.loc["good.mp4", "error"] == "" and table.loc["good.mp4", "frames"] == 1
    assert np.isfinite(table.loc["good.mp4", "p"])
    written = pd.read_csv(tmp_path / "out/scores.csv", index_col="path")
    assert written["error"].isna().tolist() == (table["error"] == "").tolist()


def run_main(monkeypatch, tmp_path, source):
    GlobalHydra.instance().clear()
    words = [f"input='{source}'", f"output='{tmp_path}/scores.csv'", f"paths.outputs='{tmp_path}'"]
    monkeypatch.setattr(sys, "argv", ["score_videos.py", *words, "model_dover=off"])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    return stopped.value.code


def test_the_command_fails_where_nothing_could_be_scored(monkeypatch, tmp_path, videos):
    source = tmp_path / "source"
    source.mkdir()
    (source / "bad.mp4").write_text("no video")
    for rows in ([False], [True, False]):  # none scored, then one of two
        assert run_main(monkeypatch, tmp_path, source) == 1
        assert pd.read_csv(tmp_path / "scores.csv")["error"].isna().tolist() == rows
        shutil.copy(videos / "enhanced/a.mp4", source)
    (source / "bad.mp4").unlink()
    assert run_main(monkeypatch, tmp_path, source) == 0


def test_what_was_scored_before_an_interrupt_is_kept(videos, score, tmp_path, monkeypatch, caplog):
    plain = VideoScorer.score

    def interrupt(self, name, *args, **kwargs):
        if name == "deep/b.mkv":
            raise KeyboardInterrupt
        return plain(self, name, *args, **kwargs)

    monkeypatch.setattr(VideoScorer, "score", interrupt)
    with pytest.raises(KeyboardInterrupt):
        score(videos / "enhanced", "model_dover=off")
    assert pd.read_csv(tmp_path / "out/scores.csv")["path"].tolist() == ["a.mp4"]
    assert "stopped: 1 of 2 videos" in caplog.text


def test_frames_are_read_as_they_are_needed(monkeypatch):
    taken = []

    def endless(path, fps, decoder):
        assert fps is None
        while True:
            taken.append(path)
            yield np.full((2, 2, 3), len(taken) % 256, np.uint8)

    monkeypatch.setattr(pairs, "iter_frames", endless)
    groups = pairs.read_groups("v", None, every=5, size=3)
    first, second = next(groups), next(groups)
    assert (first.numbers, second.numbers) == ((0, 5, 10), (15, 20, 25))
    assert first.frames[:, 0, 0, 0].tolist() == [1, 6, 11]
    assert len(taken) == 26


def test_videos_are_found_in_order_and_a_reference_by_its_own_suffix_first(videos, tmp_path):
    assert list(find_videos(videos / "enhanced")) == ["a.mp4", "deep/b.mkv"]
    assert list(find_videos(videos / "enhanced/a.mp4")) == ["a.mp4"]
    for name in ("v.mp4", "v.mkv", "v_x.mp4"):
        (tmp_path / name).write_text("")
    assert find_reference("v.mkv", tmp_path).name == "v.mkv"
    assert find_reference("v.mp4", tmp_path).name == "v.mp4"
    assert find_reference("any.mp4", tmp_path / "v.mp4") == tmp_path / "v.mp4"


@pytest.mark.parametrize(
    ("source", "overrides", "words"),
    [
        ("gone", (), "expected input to be a video or a folder, got"),
        ("enhanced", ("reference=gone",), "expected reference to be a video or a folder, got gone"),
        ("enhanced", ("reference='{root}/inputs/a_x.mp4'",), "expected reference to be a folder"),
        ("enhanced", ("every=0",), "expected every to be a whole number above 0, got 0"),
        ("enhanced", ("device=abacus",), "expected device to be one of auto, cpu.*got 'abacus'"),
        ("enhanced", ("reference='{root}/inputs'",), "expected model_vqa.weights to name VQA.ckpt"),
    ],
)
def test_options_that_do_not_fit_are_an_error(videos, score, source, overrides, words):
    overrides = [override.format(root=videos) for override in overrides]
    with pytest.raises(Exception, match=words) as error:
        score(videos / source, "model_dover=off", *overrides)
    cause = error.value.__cause__ or error.value  # Hydra wraps what a constructor raises
    assert isinstance(cause, ValueError | FileNotFoundError)


def test_a_folder_without_videos_is_an_error(tmp_path, score):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected videos \(\.avi.*got none"):
        score(tmp_path / "empty", "model_dover=off")


@pytest.mark.parametrize("rate", [15, 24, 25, 50, 60])
def test_a_rendering_at_30_is_paired_with_its_source_by_time(tmp_path, score, rate):
    make_clip(tmp_path / "inputs/v.mp4", frames=rate, rate=rate)
    with VideoWriter(render_place(tmp_path)) as writer:
        for frame in iter_frames(tmp_path / "inputs/v.mp4", 30):
            writer.write(frame)
    table = score_pair(score, tmp_path)
    assert table.loc["v.mp4", "error"] == ""
    assert table.loc["v.mp4", "frames"] == 30


def test_variable_rates_are_paired_by_time(tmp_path):
    times = [0, 40, 55, 140, 300, 301, 333, 390, 700]
    make_clip(tmp_path / "inputs/v.mp4", times=times)
    frames = list(iter_frames(tmp_path / "inputs/v.mp4", 30))
    with VideoWriter(render_place(tmp_path)) as writer:
        for frame in frames:
            writer.write(frame)
    groups = pairs.read_groups(
        tmp_path / "enhanced/v.mp4", tmp_path / "inputs/v.mp4", every=1, size=len(frames)
    )
    (group,) = groups
    difference = (group.frames.float() - group.references.float()).abs()
    assert difference.mean(dim=(1, 2, 3)).max() < 20  # neighbours differ by far more
    shifted = (group.frames[1:].float() - group.references[:-1].float()).abs()
    assert shifted.mean() > difference.mean() * 1.5


def test_padding_of_our_own_is_cut(tmp_path, score):
    make_clip(tmp_path / "inputs/v.mkv", width=63, height=47, pix_fmt="yuv444p", rate=30)
    with VideoWriter(render_place(tmp_path)) as writer:
        for frame in iter_frames(tmp_path / "inputs/v.mkv", 30):
            writer.write(frame)
    assert score_pair(score, tmp_path).loc["v.mp4", "error"] == ""


def render_place(tmp_path):
    (tmp_path / "enhanced").mkdir()
    return tmp_path / "enhanced/v.mp4"


def score_pair(score, tmp_path):
    options = ("model_dover=off", "model_vqa.weights=untrained", "every=1")
    return score(tmp_path / "enhanced", f"reference='{tmp_path / 'inputs'}'", *options)
