import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from vqe.critics.frozen_vqa import Scores
from vqe.losses import (
    SSIM,
    Charbonnier,
    ColourAngle,
    Detail,
    Harm,
    LUTMonotonicity,
    LUTSmoothness,
    Step,
    StructureAnchor,
    SupervisedMSE,
    SupervisedRMSE,
    TemporalDifference,
    VQALoss,
    WeightedTerms,
)
from vqe.schema import SCORES

SUPERVISED = (SupervisedMSE, SupervisedRMSE, Charbonnier, SSIM, ColourAngle, TemporalDifference)


def make_step(has_target=(True, False), before=None, clamped=None):
    x = torch.full((2, 3, 2, 2), 0.5)
    enhanced = (x + torch.tensor([0.1, 0.3])[:, None, None, None]).requires_grad_()
    scores = torch.zeros(2, 12) if before is None else before
    scores = Scores(
        clamped=scores.clamp(0, 1) if clamped is None else clamped, before_clamps=scores
    )
    return Step(x, enhanced, x.clone(), torch.tensor(has_target), scores)


def test_supervised_mse_counts_frames_with_a_target_alone():
    step = make_step()
    loss = SupervisedMSE()(step)
    assert loss.item() == pytest.approx((0.1 * 255 / 128) ** 2, rel=1e-4)
    loss.backward()
    assert step.enhanced.grad[0].abs().min() > 0
    assert not step.enhanced.grad[1].any()


def test_supervised_rmse_is_the_mean_of_the_roots_and_not_the_root_of_the_mean():
    loss = SupervisedRMSE()(make_step(has_target=(True, True)))
    assert loss.item() == pytest.approx((0.1 + 0.3) / 2 * 255 / 128, rel=1e-4)


def test_supervised_rmse_pulls_frames_alike_however_far_off_they_are():
    step = make_step(has_target=(True, True))
    SupervisedRMSE()(step).backward()
    pulls = step.enhanced.grad.sum((1, 2, 3))
    torch.testing.assert_close(pulls[0], pulls[1], rtol=1e-4, atol=0)


def test_harm_counts_what_a_frame_is_farther_off_than_its_input():
    step = make_step(has_target=(True, True))
    step.x[0] += 0.25  # 0.1 off now, where the input was 0.25 off: help
    loss = Harm()(step)
    assert loss.item() == pytest.approx(0.3 / 2 * 255 / 128, rel=1e-3)
    loss.backward()
    assert not step.enhanced.grad[0].any()
    assert step.enhanced.grad[1].min() > 0
    assert Harm()(make_step(has_target=(False, False))).item() == 0


def test_detail_is_blind_to_light_and_sees_what_opencv_calls_fine():
    generator = np.random.default_rng(0)
    clean = torch.rand(2, 3, 24, 32)
    light = torch.tensor([0.2, -0.3])[:, None, None, None].expand_as(clean)
    noise = torch.from_numpy(generator.normal(0, 0.05, clean.shape).astype(np.float32))
    has_target = torch.tensor([True, True])
    flat = Detail()(Step(clean, clean + light, clean, has_target))
    assert flat.item() == pytest.approx(0, abs=1e-5)
    error = (light + noise).permute(0, 2, 3, 1).numpy()
    fine = [
        e - cv2.GaussianBlur(e, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101) for e in error
    ]
    expected = np.mean([np.sqrt(np.mean(f**2)) for f in fine])
    found = Detail()(Step(clean, clean + light + noise, clean, has_target))
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_supervised_mse_without_any_target_is_zero_with_a_gradient():
    step = make_step(has_target=(False, False))
    loss = SupervisedMSE()(step)
    loss.backward()
    assert loss.item() == 0
    assert not step.enhanced.grad.any()


def test_vqa_loss_wants_every_score_at_one_but_a4_at_zero():
    best = torch.ones(2, 12)
    best[:, SCORES.index("a4")] = 0
    assert VQALoss()(make_step(before=best)).item() == 0
    # a4 = 0 is right already: eleven of twelve scores are 1 away
    assert VQALoss()(make_step(before=torch.zeros(2, 12))).item() == pytest.approx(11 / 12)


def test_vqa_loss_sees_beyond_the_clamps_unless_told_otherwise():
    saturated = torch.full((2, 12), -3.0, requires_grad=True)
    clamped = saturated.clamp(0, 1)
    VQALoss(before_clamps=True)(make_step(before=saturated)).backward()
    assert saturated.grad.abs().min() > 0
    saturated.grad = None
    VQALoss(before_clamps=False)(make_step(before=saturated, clamped=clamped)).backward()
    assert not saturated.grad.any()


def test_terms_are_named_weighted_and_summed():
    terms = WeightedTerms(
        {"sup_mse": SupervisedMSE(), "vqa": VQALoss()}, {"sup_mse": 2, "vqa": 0.5}
    )
    values = terms(make_step())
    assert set(values) == {"sup_mse", "vqa", "loss"}
    assert values["loss"] == 2 * values["sup_mse"] + 0.5 * values["vqa"]
    assert terms.needs_scores


def test_a_term_of_weight_zero_asks_for_nothing():
    terms = WeightedTerms({"sup_mse": SupervisedMSE(), "vqa": VQALoss()}, {"sup_mse": 1, "vqa": 0})
    assert not terms.needs_scores
    assert set(terms(make_step())) == {"sup_mse", "loss"}


def test_unknown_term_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"\['sup_mse'\], got weights for \['mse'\]"):
        WeightedTerms({"sup_mse": SupervisedMSE()}, {"mse": 1})


@pytest.mark.parametrize("weight", [0, -1])
def test_weights_that_train_nothing_are_refused(weight):
    with pytest.raises(ValueError, match="one above 0"):
        WeightedTerms({"sup_mse": SupervisedMSE()}, {"sup_mse": weight})


def test_critics_without_a_fidelity_term_are_refused():
    terms = {"sup_mse": SupervisedMSE(), "angle": ColourAngle(), "vqa": VQALoss()}
    with pytest.raises(
        ValueError, match=r"beside the critic terms \['vqa'\], got \['angle', 'vqa'\]"
    ):
        WeightedTerms(terms, {"sup_mse": 0, "angle": 1, "vqa": 1})
    with pytest.raises(ValueError, match="fidelity term without a ramp"):
        WeightedTerms(terms, {"sup_mse": 1, "angle": 1, "vqa": 1}, {"sup_mse": [0.5, 1]})
    WeightedTerms(terms | {"anchor": StructureAnchor()}, dict.fromkeys((*terms, "anchor"), 1))


def test_a_ramp_delays_a_term_and_lets_it_grow():
    terms = {"sup_mse": SupervisedMSE(), "vqa": VQALoss()}
    loss = WeightedTerms(terms, {"sup_mse": 1, "vqa": 2}, {"vqa": [0.2, 0.6]})
    assert [loss.factor("vqa", p) for p in (0, 0.2, 0.3, 0.6, 1)] == [
        0, 0, pytest.approx(0.25), 1, 1
    ]  # fmt: skip
    assert list(loss.active(0.2)) == ["sup_mse"]
    assert set(loss(make_step(), 0.2)) == {"sup_mse", "loss"}  # not even computed
    values = loss(make_step(), 0.4)
    assert values["vqa"].item() == pytest.approx(11 / 12)  # logged unweighted
    assert values["loss"].item() == pytest.approx((values["sup_mse"] + values["vqa"]).item())
    assert loss.factors(0.4) == {"vqa": pytest.approx(0.5)}


@pytest.mark.parametrize(
    ("ramps", "message"),
    [
        ({"vqa": [0.6, 0.2]}, r"loss.ramps.vqa = \[from, to\]"),
        ({"vqa": [0.5, 1.2]}, "0 <= from <= to <= 1"),
        ({"vqa": [0.5]}, "0 <= from <= to <= 1"),
        ({"vga": [0.2, 0.6]}, r"among \['sup_mse', 'vqa'\], got \['vga'\]"),
        ({"vqa": [0.2, 0.6], "sup_mse": [0, 1]}, "leads from the start"),
    ],
)
def test_ramps_that_make_no_sense_are_refused(ramps, message):
    with pytest.raises(ValueError, match=message):
        terms = {"sup_mse": SupervisedMSE(), "vqa": VQALoss()}
        WeightedTerms(terms, {"sup_mse": 1, "vqa": 1}, ramps)


def make_pair(has_target=(True, True, True, True), clip_length=1, size=(24, 20)):
    """Return a step on random frames; `enhanced` is near the target."""
    draw = torch.Generator().manual_seed(3)
    x, y, noise = (torch.rand(4, 3, *size, generator=draw) for _ in range(3))
    enhanced = (y + 0.3 * (noise - 0.5)).requires_grad_()
    has_target = torch.tensor(has_target)
    y = y * has_target[:, None, None, None]
    return Step(x, enhanced, y, has_target, clip_length=clip_length)


@pytest.mark.parametrize("term", SUPERVISED)
def test_supervised_terms_see_frames_with_a_target_alone(term):
    step = make_pair(has_target=(True, True, False, False), clip_length=2)
    loss = term()(step)
    loss.backward()
    assert step.enhanced.grad[:2].abs().sum() > 0
    assert not step.enhanced.grad[2:].any()
    alone = Step(*(v[:2] for v in (step.x, step.enhanced, step.y, step.has_target)), None, 2)
    assert loss.item() == pytest.approx(term()(alone).item(), rel=1e-5)


@pytest.mark.parametrize("term", SUPERVISED)
def test_supervised_terms_without_a_target_are_zero_with_a_gradient(term):
    step = make_pair(has_target=(False,) * 4, clip_length=2)
    loss = term()(step)
    loss.backward()
    assert loss.item() == 0
    assert not step.enhanced.grad.any()


def test_charbonnier_is_its_formula():
    step = make_pair()
    error = (step.enhanced - step.y).detach().double().numpy()
    expected = np.sqrt(error**2 + 0.1**2).mean()
    assert Charbonnier(epsilon=0.1)(step).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ssim_is_torchmetrics_s_under_autocast_too(dtype):
    step = make_pair()
    reference = structural_similarity_index_measure(step.enhanced, step.y, data_range=1.0)
    (expected,) = torch.autograd.grad(1 - reference, step.enhanced)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss = SSIM()(step)
    (gradient,) = torch.autograd.grad(loss, step.enhanced)
    assert loss.item() == pytest.approx(1 - reference.item(), abs=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-7)


def test_frames_smaller_than_a_window_are_refused():
    with pytest.raises(ValueError, match=r"more than 5 pixels a side, got 24x5"):
        SSIM()(make_pair(size=(24, 5)))


def test_colour_angle_is_the_arccosine():
    step = make_pair()
    a, b = (t.detach().clamp(min=0).double().numpy() for t in (step.enhanced, step.y))
    cosine = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    assert ColourAngle(floor=1e-6)(step).item() == pytest.approx(np.arccos(cosine).mean(), rel=1e-3)
    brighter = Step(step.x, 0.5 * step.y, step.y, step.has_target)
    assert ColourAngle(floor=1e-6)(brighter).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (0.2, 0.4, 0.6), (-0.1, -0.1, -0.1)])
def test_colour_angle_has_a_finite_gradient_at_equal_colours_and_at_black(colour):
    frame = torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    for y in (frame.clamp(min=0), torch.full((1, 3, 4, 4), 0.5)):
        enhanced = frame.clone().requires_grad_()
        loss = ColourAngle()(Step(frame, enhanced, y, torch.tensor([True])))
        loss.backward()
        assert enhanced.grad.isfinite().all()
        assert enhanced.grad.abs().max() < 100
        if torch.equal(y, frame):
            assert loss.item() == pytest.approx(0, abs=1e-6)


def test_temporal_difference_sees_flicker_and_no_constant_error():
    clip = make_pair(clip_length=4)
    constant = Step(clip.x, clip.y + 0.3, clip.y, clip.has_target, clip_length=4)
    term = TemporalDifference(epsilon=1e-3)
    assert term(constant).item() == pytest.approx(1e-3, rel=1e-2)
    brightness = torch.tensor([0.0, 0.1, 0.0, 0.1]).view(4, 1, 1, 1)
    flicker = Step(clip.x, clip.y + brightness, clip.y, clip.has_target, clip_length=4)
    assert term(flicker).item() == pytest.approx(0.1, rel=1e-2)
    # two clips of two frames: the step from the second to the third frame is no change in time
    jump = clip.y + torch.tensor([0.0, 0.0, 0.5, 0.5]).view(4, 1, 1, 1)
    two = Step(clip.x, jump, clip.y, clip.has_target, clip_length=2)
    assert term(two).item() == pytest.approx(1e-3, rel=1e-2)


def test_temporal_difference_of_single_frames_is_zero_with_a_gradient():
    step = make_pair(clip_length=1)
    loss = TemporalDifference()(step)
    loss.backward()
    assert loss.item() == 0
    assert not step.enhanced.grad.any()


def make_identity_table(n):
    nodes = torch.linspace(0, 1, n)
    return torch.stack(torch.meshgrid(nodes, nodes, nodes, indexing="ij")[::-1])


def step_with_luts(tables):
    return Step(*([torch.zeros(1, 3, 2, 2)] * 3), torch.tensor([False]), luts=tables)


def test_lut_smoothness_is_the_mean_square_of_neighbours():
    table = torch.rand(2, 3, 5, 5, 5, generator=torch.Generator().manual_seed(0))
    by_hand = sum(np.mean(np.diff(table.double().numpy(), axis=a) ** 2) for a in (2, 3, 4))
    assert LUTSmoothness()(step_with_luts(table)).item() == pytest.approx(by_hand, rel=1e-5)
    identity = LUTSmoothness()(step_with_luts(make_identity_table(5)[None])).item()
    assert identity == pytest.approx((1 / 4) ** 2)  # each channel rises along one axis of three


def test_lut_monotonicity_counts_what_falls():
    identity = make_identity_table(5)
    assert LUTMonotonicity()(step_with_luts(identity[None])).item() == 0
    inverted = LUTMonotonicity()(step_with_luts(1 - identity[None])).item()
    assert inverted == pytest.approx(1 / 4)
    step = step_with_luts(None)
    assert LUTMonotonicity()(step).item() == LUTSmoothness()(step).item() == 0


def test_luts_get_a_gradient_from_the_loss():
    table = make_identity_table(5)[None].clone().requires_grad_()
    terms = {"mse": SupervisedMSE(), "smooth": LUTSmoothness()}
    loss = WeightedTerms(terms, {"mse": 1, "smooth": 1})
    loss(step_with_luts(table))["loss"].backward()
    assert table.grad.abs().sum() > 0


def anchor(x, enhanced):
    has_target = torch.zeros(len(x), dtype=torch.bool)
    return StructureAnchor()(Step(x, enhanced, torch.zeros_like(x), has_target)).item()


def test_structure_anchor_forgives_light_and_punishes_what_is_moved_blurred_or_added():
    x = make_pair(size=(48, 64)).x
    light = torch.linspace(0.5, 1.5, 64)
    offset = torch.linspace(-0.2, 0.3, 48)[:, None]
    relit = anchor(x, x * light + offset)
    assert anchor(x, x) == pytest.approx(0, abs=1e-5)
    assert relit < 0.02
    assert anchor(x, x.roll(1, -1)) > 0.5
    assert anchor(x, F.avg_pool2d(x, 3, 1, 1)) > 0.2
    flat = torch.full_like(x, 0.5)
    assert anchor(flat, x) > 0.5
    faint = 0.005 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert anchor(flat + faint, flat) < 0.02  # noise may go


def test_structure_anchor_is_the_correlation_in_a_window():
    x, enhanced = (make_pair(size=(11, 11)).x[:1], make_pair(size=(11, 11)).enhanced[:1].detach())
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2

    def correlate(top, left):
        rows, cols = (np.abs(np.arange(i - 5, i + 6)) for i in (top, left))
        rows, cols = (np.where(i > 10, 20 - i, i) for i in (rows, cols))  # mirrored at the borders
        lumas = [
            np.tensordot([0.299, 0.587, 0.114], f[0].double().numpy(), 1) for f in (x, enhanced)
        ]
        a, b = (luma[np.ix_(rows, cols)] for luma in lumas)
        a, b = a - (window * a).sum(), b - (window * b).sum()
        covariance, *variances = ((window * p).sum() + 0.02**2 for p in (a * b, a * a, b * b))
        return covariance / np.sqrt(np.prod(variances))

    by_hand = np.mean([[correlate(i, j) for j in range(11)] for i in range(11)])
    assert anchor(x, enhanced) == pytest.approx(1 - by_hand, rel=1e-4)


def test_structure_anchor_leads_frames_without_a_target_and_flat_ones():
    x = torch.full((1, 3, 16, 16), 0.5)
    for start in (x, torch.rand(x.shape, generator=torch.Generator().manual_seed(0))):
        enhanced = start.clone().requires_grad_()
        step = Step(x, enhanced, torch.zeros_like(x), torch.tensor([False]))
        StructureAnchor()(step).backward()
        assert enhanced.grad.isfinite().all()
    assert enhanced.grad.abs().sum() > 0


def test_every_term_runs_on_half_precision_frames():
    step = make_pair(clip_length=2)
    half = Step(step.x, step.enhanced.bfloat16(), step.y, step.has_target, clip_length=2)
    for term in (*SUPERVISED, StructureAnchor):
        assert term()(half).dtype == torch.float32
        assert term()(half).item() == pytest.approx(term()(step).item(), rel=0.05, abs=1e-3)
