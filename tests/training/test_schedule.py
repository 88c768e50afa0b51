import numpy as np
import pytest
import torch

from vqe.training.schedule import timed_cosine, warmup_cosine


def run(total, steps=None, state=None, **options):
    """Return the learning rates of `steps` optimizer steps, and the states at the end."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = warmup_cosine(optimizer, total_steps=total, **options)
    if state:
        optimizer.load_state_dict(state[0])
        schedule.load_state_dict(state[1])
    rates = []
    for _ in range(total if steps is None else steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(rates), (optimizer.state_dict(), schedule.state_dict())


def test_it_warms_up_step_by_step_and_falls_as_a_cosine():
    rates, (_, last) = run(100, warmup_steps=20, final_share=0.1)
    np.testing.assert_allclose(rates[:20], 0.1 * np.arange(1, 21) / 20)
    done = np.arange(80) / 80
    expected = 0.1 * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * done)))
    np.testing.assert_allclose(rates[20:], expected)
    assert last["_last_lr"] == [pytest.approx(0.01)]


def test_resuming_continues_it():
    whole, _ = run(50, warmup_steps=10)
    first, state = run(50, steps=17, warmup_steps=10)
    second, _ = run(50, steps=33, state=state, warmup_steps=10)
    np.testing.assert_allclose(np.concatenate([first, second]), whole)


def test_a_prolonged_run_follows_the_longer_schedule():
    _, state = run(50, warmup_steps=10)
    longer, _ = run(100, steps=50, state=state, warmup_steps=10)
    whole, _ = run(100, warmup_steps=10)
    np.testing.assert_allclose(longer[1:], whole[51:])  # the first step has the last rate still
    assert longer[0] == pytest.approx(0.1 * 0.01)


def test_its_state_is_plain_values():
    _, (_, state) = run(10)
    assert state["lr_lambdas"] == [None]


def test_short_runs_warm_up_for_half_of_them():
    rates, _ = run(4, warmup_steps=500)
    assert rates[0] == pytest.approx(0.05)
    assert rates[2] == pytest.approx(0.1)
    assert run(1)[0] == [pytest.approx(0.1)]


@pytest.mark.parametrize("options", [{"warmup_steps": -1}, {"final_share": 1.5}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="warmup_steps >= 0 and final_share in"):
        run(10, **options)


def test_a_timed_one_follows_the_clock_and_stays_at_its_end():
    times = iter([100.0, 100.0, 105.0, 110.0, 155.0, 200.0, 300.0])  # it begins, then six steps
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = timed_cosine(optimizer, 5, seconds=100, warmup_share=0.1, clock=lambda: next(times))
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(5):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.05, 0, 0], atol=1e-12)
    for options in ({"seconds": 0}, {"seconds": 9, "warmup_share": 1}):
        with pytest.raises(ValueError, match=r"scheduler\.seconds"):
            timed_cosine(optimizer, 5, **options)
