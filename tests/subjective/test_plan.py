"""A study's plan: clips that match, blind names, balanced sessions, checks, and its figures."""

import filecmp
import json
from collections import Counter
from itertools import combinations

import cv2
import numpy as np
import pandas as pd
import pytest
from study_data import QUALITY, make_study, write_clips

from vqe.subjective.check_clips import draw_request, spoil
from vqe.subjective.design import choose_pairs, votes_for
from vqe.subjective.links import read_rater
from vqe.subjective.plates import draw_matrix, draw_plate
from vqe.subjective.sessions import fill_sessions, spread_pairs
from vqe.subjective.study import CLIPS, KEY, load_study, read_key
from vqe.subjective.votes import GRADES, LABELS
from vqe.video import VideoWriter, iter_frames, probe_video


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="module")
def folder(clips, tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"), clips=clips)


@pytest.fixture(scope="module")
def study(folder):
    return load_study(folder)


def test_votes_are_balanced_over_pairs_orders_and_contents(study):
    pairs = [t for t in study.trials if t.kind == "pair"]
    counts = Counter((t.first, t.second) for t in pairs)
    assert set(counts) == {(a, b) for a in QUALITY for b in QUALITY if a != b}
    assert set(counts.values()) == {4}  # 8 votes a pair, half of them each way round
    assert set(Counter((frozenset((t.first, t.second)), t.content) for t in pairs).values()) == {2}


def test_no_content_comes_twice_in_a_session(study):
    for number, session in study.sessions.items():
        contents = [t.content for t in session if t.kind == "pair"]
        assert len(set(contents)) == len(contents)
        assert [t.position for t in session] == list(range(1, len(session) + 1))
        if number:
            kinds = Counter(t.kind for t in session)
            assert kinds["gold"] == kinds["trap"] == 1
            assert session[0].kind == "pair"


def test_clips_have_blind_names_and_the_same_bytes(study, folder, clips):
    assert all(not set(QUALITY) & {name, clip.content} for name, clip in study.clips.items())
    for name, clip in study.clips.items():
        assert (folder / CLIPS / name).is_file()
        assert clip.method not in name
        assert clip.content not in name
        side = "_x" if clip.method == "input" else ""
        original = clips / clip.method / f"{clip.content}{side}.mp4"
        if clip.method in QUALITY:
            assert filecmp.cmp(folder / CLIPS / name, original, shallow=False)


def test_a_trial_names_the_clips_of_its_methods(study):
    for trial in study.trials:
        for clip, method in ((trial.clip_first, trial.first), (trial.clip_second, trial.second)):
            assert (study.clips[clip].content, study.clips[clip].method) == (trial.content, method)


def test_gold_is_obvious_and_traps_say_what_to_answer(study, folder):
    gold = [t for t in study.trials if t.kind == "gold"]
    assert {t.expected for t in gold} <= {-3, 3}
    for trial in gold:
        sharp, spoilt = (
            np.mean([f.mean() for f in iter_frames(folder / CLIPS / clip, None)])
            for clip in (trial.clip_first, trial.clip_second)[:: 1 if trial.expected < 0 else -1]
        )
        assert spoilt < 0.6 * sharp
    for trial in (t for t in study.trials if t.kind == "trap"):
        frames = list(iter_frames(folder / CLIPS / trial.clip_second, None))
        plain = list(iter_frames(folder / CLIPS / trial.clip_first, None))
        request = draw_request(LABELS[int(trial.expected) - GRADES[0]], *frames[0].shape[:2])
        assert len(frames) == len(plain) + 6
        error = [np.abs(f.astype(int) - request).mean() for f in frames]
        assert max(error[3:9]) < 12 < min(error[:3] + error[9:])
        seconds = study.clips[trial.clip_second].seconds
        assert seconds == pytest.approx(len(frames) / 30, abs=1e-3)


def test_the_same_seed_plans_the_same_and_another_does_not(folder, clips, tmp_path):
    again = make_study(tmp_path / "same", clips=clips)
    other = make_study(tmp_path / "other", "seed=1", clips=clips)
    assert (again / "plan.csv").read_text() == (folder / "plan.csv").read_text()
    assert (other / "plan.csv").read_text() != (folder / "plan.csv").read_text()
    assert read_key(again) != read_key(folder)


def test_links_are_signed_and_the_key_is_private(folder):
    links = pd.read_csv(folder / "links.csv")
    raters = {read_rater(link.removeprefix("/r/"), read_key(folder)) for link in links["link"]}
    assert len(raters) == 30
    assert None not in raters
    assert (folder / KEY).stat().st_mode & 0o077 == 0


def test_what_the_toolkit_reads_is_written(folder, study):
    rating = pd.read_csv(folder / "p910/rating_clips.csv")
    assert list(rating) == ["pvs", "src"]
    shown = {(t.clip_first, t.clip_second) for t in study.trials if t.kind == "pair"}
    assert len(rating) == len(shown)
    gold = pd.read_csv(folder / "p910/gold_clips.csv")
    assert list(gold) == ["gold_clips_pvs", "gold_clips_src", "gold_clips_ans"]
    assert list(pd.read_csv(folder / "p910/trapping_clips.csv"))[2] == "trapping_ans"


def test_the_plan_says_votes_sessions_and_minutes(study):
    summary = study.summary
    assert summary["votes"] == 6 * 8
    assert summary["sessions"] == 12
    assert summary["half_interval"] == pytest.approx(1.96 * 1.65 / 8**0.5)
    assert summary["votes_for"]["0.1"] == votes_for(0.1, 1.65) == 1046
    assert 0.3 < summary["session_minutes"] < 2


@pytest.mark.parametrize("votes", [7, 30, 61])
def test_sessions_are_full_and_balanced_for_any_number(votes):
    random = np.random.default_rng(0)
    contents = [f"v{i}" for i in range(12)]
    shares = choose_pairs(["input", "a", "b", "c"], "all", None)
    shown = spread_pairs(shares, contents, votes * 6, random)
    orders = Counter((a, b) for _, a, b in shown)
    for a, b in combinations(["input", "a", "b", "c"], 2):
        assert orders[a, b] + orders[b, a] == votes
        assert abs(orders[a, b] - orders[b, a]) <= 12  # a coin for each content's odd vote
    sessions = fill_sessions(shown, 10, random)
    assert Counter(s for session in sessions for s in session) == Counter(shown)
    assert max(map(len, sessions)) <= 10
    assert max(map(len, sessions)) - min(map(len, sessions)) <= 1


def test_chain_compares_neighbours():
    known = {"input": 0.3, "a": 2.0, "b": 1.0}
    assert set(choose_pairs(["input", "a", "b"], "chain", None)) == {("input", "a"), ("a", "b")}
    assert set(choose_pairs(["input", "a", "b"], "chain", known)) == {("input", "b"), ("b", "a")}


def test_optimal_spends_votes_where_the_outcome_is_open():
    methods = ["input", "a", "b", "c"]
    even = choose_pairs(methods, "optimal", None)
    assert list(even.values()) == pytest.approx([1 / 6] * 6, abs=1e-6)
    known = {"input": 0.01, "a": 1.0, "b": 1.1, "c": 30.0}
    shares = choose_pairs(methods, "optimal", known)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["a", "b"] > 3 * shares.get(("input", "c"), 0)
    assert design_determinant(methods, shares, known) > design_determinant(methods, even, known)


def design_determinant(methods, shares, known):
    information = np.zeros((4, 4))
    for (a, b), share in shares.items():
        i, j, p = methods.index(a), methods.index(b), known[a] / (known[a] + known[b])
        unit = np.eye(4)[i] - np.eye(4)[j]
        information += share * p * (1 - p) * np.outer(unit, unit)
    return np.linalg.det(information[1:, 1:])


@pytest.mark.parametrize(
    ("spoil_it", "error", "message"),
    [
        (
            lambda c: (c / "nano/video_0001.mp4").unlink(),
            FileNotFoundError,
            "no video_0001 in .*nano",
        ),
        (
            lambda c: write_one(c / "nano/video_0001.mp4", frames=5),
            ValueError,
            "expected 96x72, 6 frames",
        ),
        (lambda c: write_one(c / "nano/video_0001.mp4", size=(48, 64)), ValueError, "got 64x48"),
        (
            lambda c: write_one(c / "nano/video_0001.mp4", fps=25),
            ValueError,
            "at 30 fps.*at 25 fps",
        ),
        (
            lambda c: write_one(c / "nano/video_0001.mp4", pix_fmt="yuv444p"),
            ValueError,
            r"browsers play .* Do: encode_crf=8",
        ),
    ],
)
def test_material_that_does_not_match_is_named(spoil_it, error, message, tmp_path):
    clips = write_clips(tmp_path / "clips", contents=2)
    spoil_it(clips)
    with pytest.raises(error, match=message):
        make_study(tmp_path, "pairs_per_session=2", clips=clips)
    assert not (tmp_path / "study").exists()


def write_one(path, *, frames=6, size=(72, 96), fps=30, pix_fmt="yuv420p"):
    path.unlink()
    with VideoWriter(path, fps=fps, pix_fmt=pix_fmt) as writer:
        for f in range(frames):
            writer.write(np.full((*size, 3), 20 * f, np.uint8))


def test_clips_may_be_encoded_anew_all_alike(tmp_path):
    clips = write_clips(tmp_path / "clips", contents=2)
    write_one(clips / "nano/video_0001.mp4", pix_fmt="yuv444p")
    study = make_study(tmp_path, "encode_crf=8", "pairs_per_session=2", clips=clips)
    infos = [probe_video(path) for path in (study / CLIPS).iterdir()]
    assert {(i.codec, i.pix_fmt) for i in infos} == {("h264", "yuv420p")}


def test_a_study_is_not_planned_over(folder, clips):
    with pytest.raises(FileExistsError, match="Choose another output"):
        make_study(folder.parent, clips=clips)


def test_a_session_longer_than_the_videos_is_cut(clips, tmp_path):
    study = load_study(make_study(tmp_path, "pairs_per_session=10", clips=clips))
    assert max(len(s) for s in study.sessions.values()) == 4 + 2


def test_folders_of_one_name_must_be_named(clips, tmp_path):
    with pytest.raises(ValueError, match=r"Name them: methods=\{"):
        make_study(tmp_path, f"methods=['{clips}/nano','{clips}/./nano']", clips=clips)


def test_a_damaged_study_is_told(folder, tmp_path):
    told = json.loads((folder / "study.json").read_text())
    del told["clips"]
    (tmp_path / "study.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"damaged study\.json"):
        load_study(tmp_path)


def test_plates_differ_in_hue_and_hardly_in_lightness():
    plate = draw_plate("47", np.random.default_rng(0))
    grey = cv2.cvtColor(plate, cv2.COLOR_BGR2GRAY).astype(int)
    red = plate[..., 2].astype(int) - plate[..., 1]
    figure, ground = (red > 40) & (grey < 220), (red < -10) & (grey < 220)
    assert min(figure.sum(), ground.sum()) > 3000
    assert abs(grey[figure].mean() - grey[ground].mean()) < 12


def test_matrices_hold_as_many_shapes_as_they_say():
    picture = draw_matrix(3, 5, np.random.default_rng(0))[..., 0]
    cells = [
        picture[r : r + 80, c : c + 80].astype(int)
        for r in range(0, 320, 80)
        for c in range(0, 320, 80)
    ]
    assert sum(cell.std() > 1 for cell in cells) == 8
    contrast = [np.abs(cell - cell[0, 0]).max() for cell in cells if cell.std() > 1]
    assert max(contrast) <= 14


def test_spoilt_frames_are_far_from_the_clean_ones():
    frame = np.random.default_rng(0).integers(0, 255, (72, 96, 3), np.uint8)
    assert spoil(frame).mean() < 0.6 * frame.mean()
