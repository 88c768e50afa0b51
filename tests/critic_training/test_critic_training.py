"""Training a critic: footage, pairs, samples, the loss, the report."""

import dataclasses
import logging

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from clips import make_clip
from critic_pictures import draw_picture
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vqe.cli import CONF_DIR
from vqe.critic_training.echo import EchoedLoader, mirror
from vqe.critic_training.footage import load_footage, split_sources
from vqe.critic_training.module import CriticModule, known_mse
from vqe.critic_training.pairs_csv import SCORE_COLUMNS, read_pairs, split_pairs
from vqe.critic_training.report import build_report
from vqe.critic_training.samples import DrawnVariants, RatedPairs, crop_frames
from vqe.critic_training.targets import damages
from vqe.critic_training.variants import (
    PostEdit,
    Variant,
    edit_picture,
    make_group,
    make_variant,
)
from vqe.critics import UNetLite
from vqe.critics.unetlite import SqueezeExcite
from vqe.synthesis import Parameters

CONFIG = OmegaConf.load(CONF_DIR / "train_vqa.yaml")


def sampler(**changes):
    return instantiate(OmegaConf.merge(CONFIG.draws, changes), _convert_="all")


# footage


@pytest.fixture
def clean(tmp_path):
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"picture_{number}.png"), draw_picture(number, 60, 80))
    make_clip(tmp_path / "deeper" / "clip.mp4", rate=30, frames=20)
    return tmp_path


def test_sources_are_held_out_whole_by_name_or_share(clean):
    options = {"use": ["picture_[012]*", "*.mp4"], "seed": 0}
    train, held_out = split_sources(clean, hold_out=["picture_2*", "picture_3*"], **options)
    assert sorted(p.name for p in train) == ["clip.mp4", "picture_0.png", "picture_1.png"]
    assert sorted(p.name for p in held_out) == ["picture_2.png", "picture_3.png"]
    train, held_out = split_sources(clean, hold_out=0.25, **options)
    assert len(train) == 3 and len(held_out) == 1 and not set(train) & set(held_out)


def test_frames_are_spread_over_videos_and_bounded_in_memory(clean, caplog):
    footage = load_footage(clean, hold_out=["picture_0.png"], frames_per_video=4)
    counts = sorted(map(len, footage.train))
    assert counts == [1, 1, 1, 4]
    video = next(frames for frames in footage.train if len(frames) == 4)
    assert len({frame.tobytes() for frame in video}) == 4
    with pytest.raises(ValueError, match=r"expected room for a training .* got 0 MB"):
        load_footage(clean, max_memory_mb=0)
    for number in range(20):
        cv2.imwrite(str(clean / f"large_{number:02d}.png"), draw_picture(number, 300, 300))
    with caplog.at_level(logging.WARNING):
        some = load_footage(clean, use=["large*"], hold_out=0.5, max_memory_mb=2)
    assert 1 <= len(some.train) <= 3 and "sources left out" in caplog.text


def test_missing_footage_is_an_error_that_names_the_pattern(clean):
    with pytest.raises(FileNotFoundError, match=r"named nothing\*.mov"):
        load_footage(clean, use=["nothing*.mov"])
    with pytest.raises(FileNotFoundError, match="one to hold out"):
        load_footage(clean, use=["clip.mp4"], hold_out=["clip.mp4"])


# pairs


def write_pairs(folder, rows, columns=("img_1", "img_2", *SCORE_COLUMNS)):
    for number in range(4):
        for kind, factor in (("x", 0.4), ("y", 1.0)):
            path = folder / f"video_{number}" / f"{kind}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), (draw_picture(number, 48, 64) * factor).astype(np.uint8))
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "pairs.csv"


def row(number, p="0.9", scores=("",) * 11):
    return (f"video_{number}/x.png", f"video_{number}/y.png", p, *scores)


def test_pairs_are_read_with_blanks(tmp_path):
    scores = ("0.5", *("",) * 9, "-1")
    pairs = read_pairs(write_pairs(tmp_path, [row(0), row(1, p=" ", scores=scores)]))
    assert pairs["p"].tolist()[0] == 0.9 and np.isnan(pairs["p"][1])
    assert pairs["a_1"][1] == 0.5 and pairs["a_11"][1] == -1
    assert pairs[[f"a_{i}" for i in range(2, 11)]].isna().all(axis=None)
    sample = RatedPairs(pairs, side=32, seed=0)[0]
    assert sample["frames"].shape == (2, 3, 32, 32)
    assert sample["p"][0, 1] == pytest.approx(0.9) and sample["p"][1, 0] == pytest.approx(0.1)
    assert sample["p"].diagonal().isnan().all() and sample["a"].isnan().all()
    assert (
        sample["frames"][1].float().mean() > 2 * sample["frames"][0].float().mean()
    )  # RGB, x dark


@pytest.mark.parametrize(
    ("rows", "columns", "kind", "words"),
    [
        ([row(0), row(1, p="1.5")], None, ValueError, r"from 0 to 1.*column p.*'1.5' in row 3"),
        ([row(0, scores=("x", *[""] * 10))], None, ValueError, r"-1 to 1.*column a_1,.*'x'.*row 2"),
        ([row(0, scores=("-2", *[""] * 10))], None, ValueError, r"column a_1, got '-2'"),
        ([row(0, p="nan")], None, ValueError, r"column p, got 'nan'"),
        ([row(0, p="")], None, ValueError, r"at least one number in each row.*rows 2"),
        ([row(0), row(9)], None, FileNotFoundError, r"column img_1.*video_9/x.png' in row 3"),
        ([], None, ValueError, "got no row"),
        ([row(0)[:3]], ("img_1", "img_2", "p"), ValueError, r"got no column a_1, a_2"),
    ],
)
def test_each_fault_of_a_csv_is_named(tmp_path, rows, columns, kind, words):
    columns = columns or ("img_1", "img_2", *SCORE_COLUMNS)
    with pytest.raises(kind, match=words) as error:
        read_pairs(write_pairs(tmp_path, rows, columns))
    assert "pairs.csv" in str(error.value)


def test_a_missing_csv_and_images_of_two_sizes_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"CSV of rated pairs at .*none.csv"):
        read_pairs(tmp_path / "none.csv")
    path = write_pairs(tmp_path, [row(0), row(1)])
    cv2.imwrite(str(tmp_path / "video_1" / "y.png"), draw_picture(1, 40, 64))
    with pytest.raises(ValueError, match=r"one size, got 64x48 and 64x40 \(pairs.csv, row 3"):
        RatedPairs(read_pairs(path), side=32)[1]


def test_pairs_are_held_out_by_content(tmp_path):
    pairs = read_pairs(write_pairs(tmp_path, [row(n) for n in (0, 0, 1, 2, 3, 3)]))
    train, held_out = split_pairs(pairs, 0.5, seed=1)
    assert len(train) + len(held_out) == 6
    assert not set(train["img_1"]) & set(held_out["img_1"])
    assert held_out["img_1"].nunique() == 2
    with pytest.raises(ValueError, match="at least two contents"):
        split_pairs(pairs[:2], 0.5, seed=1)


# samples


def test_crops_are_the_same_part_of_every_frame():
    frame = draw_picture(0, 90, 120)
    for seed in range(8):
        first, second = crop_frames([frame, 255 - frame], 48, np.random.default_rng(seed))
        assert first.shape == (48, 48, 3)
        assert np.abs(first.astype(int) + second - 255).max() <= 1
    (small,) = crop_frames([draw_picture(0, 30, 40)], 48, np.random.default_rng(0))
    assert small.shape == (48, 48, 3)


def test_fixed_samples_repeat_and_training_samples_do_not():
    sources = [[draw_picture(n, 64, 64)] for n in range(3)]
    fixed = DrawnVariants(sources, sampler(), count=6, side=32, seed=5)
    assert all(torch.equal(fixed[3][k], fixed[3][k]) for k in ("frames", "p", "a"))
    assert not torch.equal(fixed[0]["frames"], fixed[3]["frames"])
    fresh = DrawnVariants(sources, sampler(), count=6, side=32)
    assert not torch.equal(fresh[0]["frames"], fresh[0]["frames"])
    sample = fixed[1]
    assert sample["frames"].shape == (4, 3, 32, 32) and sample["frames"].dtype == torch.uint8
    torch.testing.assert_close(sample["p"] + sample["p"].T, torch.ones(4, 4))
    assert (sample["p"][1:, 0] >= 0.5).all()  # nothing is better than clean


def test_a_collage_is_of_several_sources():
    greys = [[np.full((64, 64, 3), value, np.uint8)] for value in (40, 90, 140, 190, 230)]
    whole, collages = (
        DrawnVariants(greys, sampler(), count=20, side=32, collages=share, seed=0)
        for share in (0, 1)
    )
    clean = [[samples[i]["frames"][0] for i in range(20)] for samples in (whole, collages)]
    assert all(frame.float().std() == 0 for frame in clean[0])
    assert np.mean([frame.float().std() > 5 for frame in clean[1]]) > 0.9
    corners = [frame.float().mean(0)[[0, 0, -1, -1], [0, -1, 0, -1]] for frame in clean[1]]
    assert max(len(set(four.tolist())) for four in corners) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera": {"probability": {"h264": 0.5}}}, "h264 to be 0, got 0.5"),
        ({"finish": {"sharpen": [3, 1]}}, r"finish.sharpen as \[low, high\]"),
        ({"h264_qp": [20, 60]}, r"h264_qp as \[low, high\] within \[0, 51\]"),
        ({"finish_probability": 2}, "finish_probability"),
    ],
)
def test_wrong_draws_are_named(changes, words):
    with pytest.raises(Exception, match=words):
        sampler(**changes)


def test_single_faults_are_the_clean_picture_with_one_thing_wrong():
    random = np.random.default_rng(0)
    groups = [sampler(single_faults=3).draw(random) for _ in range(60)]
    alone = [variant for group in groups for variant in group[4:]]
    assert len(alone) == 180 and all(group[0] == Variant() for group in groups)
    kinds = [{kind for kind, bad in damages(v).items() if bad > 1e-6} for v in alone]
    gamma_alone = [k for k in kinds if len(k) != 1]
    assert len(gamma_alone) < 0.05 * len(alone)  # two faults, or none that counts
    assert set.union(*kinds) == set(damages(Variant()))
    by_edit = np.mean([v.edit != PostEdit() for v in alone])
    assert 0.35 < by_edit < 0.65


def test_variants_of_one_camera_are_edits_of_one_shot():
    noisy = Parameters(shot_noise=0.1)
    brighter = Variant(noisy, edit=PostEdit(stops=1.0))
    other = Variant(dataclasses.replace(noisy, shot_noise=0.11))
    picture = draw_picture(0, 32, 32)
    shot, again, edited, _ = make_group(
        picture, [Variant(noisy), Variant(noisy), brighter, other], seed=3
    )
    np.testing.assert_array_equal(shot, make_variant(picture, Variant(noisy), seed=3))
    np.testing.assert_array_equal(shot, again)
    np.testing.assert_array_equal(edited, edit_picture(shot, brighter.edit))


# echo


def number_batches(sizes):
    """Give batches whose frames and scores are the sample's number."""
    numbers = torch.arange(sum(sizes)).split(sizes)
    return [
        {
            "frames": n.to(torch.uint8)[:, None, None, None, None].expand(-1, 2, 3, 4, 4),
            "a": n[:, None] / 1.0,
        }
        for n in numbers
    ]


def test_echoes_are_of_the_samples_made_last():
    loader = EchoedLoader(number_batches([4] * 8), echoes=5, kept=12, device=torch.device("cpu"))
    torch.manual_seed(0)
    drawn = list(loader)
    assert len(drawn) == len(loader) == 40
    for step, batch in enumerate(drawn):
        newest = step // 5 * 4 + 3
        found = batch["a"][:, 0]
        assert found.max() <= newest and found.min() > newest - 12
        assert (batch["frames"] == found.to(torch.uint8)[:, None, None, None, None]).all()
    seen = torch.cat([batch["a"] for batch in drawn]).long().flatten().bincount(minlength=32)
    assert (seen > 0).sum() > 28 and seen.sum() == 160
    with pytest.raises(ValueError, match=r"echo\.kept of at least 1, got 2 and 0"):
        EchoedLoader([], echoes=2, kept=0, device=torch.device("cpu"))


def test_all_variants_of_a_sample_are_mirrored_alike():
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (64, 2, 3, 4, 4), dtype=torch.uint8)
    turned = mirror({"frames": frames, "p": torch.ones(64)})["frames"]
    ways = [frames, frames.flip(-1), frames.flip(-2), frames.flip(-1, -2)]
    same = torch.stack([(turned == way).flatten(1).all(1) for way in ways])
    assert (same.sum(0) == 1).all() and (same.sum(1) > 6).all()


# loss, report


def test_unknown_targets_have_no_gradient():
    predicted = torch.rand(4, 11, requires_grad=True)
    target = torch.rand(4, 11)
    target[1], target[2, 3] = torch.nan, torch.nan
    loss = known_mse(predicted, target)
    known = ~target.isnan()
    assert loss.item() == pytest.approx(((predicted - target)[known] ** 2).mean().item())
    loss.backward()
    assert (predicted.grad[~known] == 0).all() and (predicted.grad[known] != 0).all()
    predicted.grad = None
    nothing = known_mse(predicted, torch.full((4, 11), torch.nan))
    nothing.backward()
    assert nothing.item() == 0 and (predicted.grad == 0).all()


def test_p_of_a_pair_is_the_network_s_and_knows_no_dover():
    torch.manual_seed(0)
    module = CriticModule(UNetLite((8, 12), (1, 1))).eval()
    frames = torch.randint(0, 256, (2, 3, 3, 24, 32), dtype=torch.uint8)
    with torch.no_grad():
        p, a = module(frames)
        x = (frames.flip(2).float() - 128) / 128
        for d in (torch.zeros(2, 1), torch.rand(2, 1)):
            expected_p, first, second = module.network.pre_clamp(x[:, 0], x[:, 2], d, 1 - d)
            torch.testing.assert_close(p[:, 0, 2], expected_p[:, 0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(a[:, 0], first, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(a[:, 2], second, rtol=1e-4, atol=1e-5)


def test_a_short_training_learns_to_rank_and_never_weighs_dover():
    torch.manual_seed(0)
    quick = sampler(
        camera={"exposure_stops": [-3, -1], "probability": {"exposure": 1, "shot_noise": 0}}
    )
    data = DrawnVariants([[draw_picture(n)] for n in range(6)], quick, count=64, side=32)
    module = CriticModule(UNetLite((8, 16, 24), (1, 1, 1)))
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        batch = torch.utils.data.default_collate([data[i] for i in range(8)])
        loss = module._shared_step(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    width = module.network.aux_head[0].in_features
    assert not module.network.main_head[1].weight[:, [width - 1, 2 * width - 1]].any()
    held_out = DrawnVariants([[draw_picture(99)]], quick, count=48, side=32, seed=1)
    module.eval()
    with torch.no_grad():
        batch = torch.utils.data.default_collate(list(map(held_out.__getitem__, range(48))))
        report = build_report([module.predict_step(batch, 0)]).set_index("score")
    assert report.accuracy["p"] > 0.65 and report.clear_pairs["p"] > 100


def test_hardly_a_gate_begins_shut():
    module = CriticModule(UNetLite((8, 16, 24), (1, 1, 1)))
    gates = []
    for layer in module.modules():
        if isinstance(layer, SqueezeExcite):
            layer._excitation.register_forward_hook(lambda _, inputs, out: gates.append(out))
    module(torch.randint(0, 256, (4, 4, 3, 32, 32), dtype=torch.uint8))
    means = torch.cat([gate.mean(0).flatten() for gate in gates])
    assert len(gates) == 3
    assert (means < 0.05).float().mean() < 0.1  # half of them, if drawn around 0
    assert 0.7 < means.mean() < 1.3


def test_the_report_equals_plain_formulas():
    random = np.random.default_rng(0)
    true_p = random.random((20, 3, 3))
    p = np.clip(true_p + 0.3 * random.standard_normal(true_p.shape), 0, 1)
    true_a, a = random.random((20, 3, 11)), random.random((20, 3, 11))
    a[..., 4] = true_a[..., 4] ** 3  # the ranks agree, the values do not
    true_p[0, 1, 2] = true_a[3, 1, 5] = np.nan
    true_a[..., 6] = np.nan
    batch = {"p": p, "true_p": true_p, "a": a, "true_a": true_a}
    halves = [
        {k: torch.from_numpy(v[part]) for k, v in batch.items()}
        for part in (slice(0, 11), slice(11, 20))
    ]
    report = build_report(halves).set_index("score")
    pairs = [(b, i, j) for b in range(20) for i in range(3) for j in range(3) if i != j]
    known = [place for place in pairs if place != (0, 1, 2)]
    values, truth = (np.array([t[place] for place in known]) for t in (p, true_p))
    clear = [
        (v > 0.5) == (t > 0.5) for v, t in zip(values, truth, strict=True) if abs(t - 0.5) >= 0.2
    ]
    assert report.accuracy["p"] == pytest.approx(sum(clear) / len(clear))
    assert report.clear_pairs["p"] == len(clear) and report["count"]["p"] == len(known) == 119
    assert report.plcc["p"] == pytest.approx(np.corrcoef(values, truth)[0, 1])
    assert report.rmse["p"] == pytest.approx(np.sqrt(np.mean((values - truth) ** 2)))
    assert report.srcc["a5"] == pytest.approx(1) and report.plcc["a5"] < 0.99
    ranks = [np.argsort(np.argsort(t[..., 0].ravel())) for t in (a, true_a)]
    assert report.srcc["a1"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert report["count"]["a6"] == 59 and report["count"]["a7"] == 0
    assert np.isnan(report.plcc["a7"]) and isinstance(report, pd.DataFrame)
