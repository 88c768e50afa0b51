import pytest
import torch

from vqe.critics.frozen import Scores
from vqe.losses import Step, SupervisedMSE, VQALoss, WeightedTerms
from vqe.schema import SCORES


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
