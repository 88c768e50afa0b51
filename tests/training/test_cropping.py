import pytest
import torch
from torch import nn

from vqe.losses import SupervisedMSE, WeightedTerms
from vqe.training.cropping import crop_batch
from vqe.training.module import VQEModule


def make_batch(shape=(3, 20, 30), count=4):
    """Return a batch whose pixels tell where they lie: red is the row, green the column."""
    height, width = shape[-2:]
    rows, cols = torch.arange(height)[:, None], torch.arange(width)
    place = torch.stack([rows.expand(height, width), cols.expand(height, width), rows + cols])
    x = place.float().expand(count, *shape).clone()
    seed = torch.arange(count)
    if len(shape) == 4:  # frames of a clip have seeds of their own
        seed = seed[:, None] + 100 * torch.arange(shape[0])
    has_target = torch.ones_like(seed, dtype=torch.bool)
    return {"x": x, "y": x + 1000, "seed": seed, "has_target": has_target}


def test_x_and_y_are_cut_alike_where_the_box_says():
    batch = make_batch()
    cropped, crop = crop_batch(batch, (8, 10), step=0)
    assert cropped["x"].shape == (4, 3, 8, 10)
    assert torch.equal(cropped["y"], cropped["x"] + 1000)
    assert crop.whole is batch["x"]
    assert batch["x"].shape == (4, 3, 20, 30)
    top, left, height, width = (crop.box * torch.tensor([20, 30, 20, 30])).T
    torch.testing.assert_close(cropped["x"][:, 0, 0, 0], top)
    torch.testing.assert_close(cropped["x"][:, 1, 0, 0], left)
    assert height.tolist() == pytest.approx([8] * 4)
    assert width.tolist() == pytest.approx([10] * 4)


def test_frames_of_a_clip_are_cut_alike():
    cropped, crop = crop_batch(make_batch((5, 3, 20, 30)), (8, 10), step=3)
    assert cropped["x"].shape == (4, 5, 3, 8, 10)
    assert crop.whole.shape == (4, 5, 3, 20, 30)
    assert crop.box.shape == (4, 4)
    assert torch.equal(cropped["x"], cropped["x"][:, :1].expand(-1, 5, -1, -1, -1))


def corners(batch, step):
    return crop_batch(batch, (8, 10), step=step)[0]["x"][:, :2, 0, 0].tolist()


def test_a_crop_is_the_frame_s_and_the_step_s_whatever_batch_it_is_in():
    batch = make_batch(count=8)
    parts = [{k: v[i::2] for k, v in batch.items()} for i in range(2)]  # as two ranks have it
    whole = corners(batch, 5)
    assert corners(parts[0], 5) == whole[0::2]
    assert corners(parts[1], 5) == whole[1::2]
    assert corners(batch, 6) != whole
    assert len({tuple(corner) for corner in whole}) > 4


def test_every_place_is_drawn():
    batch = make_batch((3, 9, 12), count=1)
    drawn = {tuple(corners(batch, step)[0]) for step in range(100)}
    assert drawn == {(i, j) for i in range(2) for j in range(3)}


@pytest.mark.parametrize("size", [(21, 10), (8, 31), (0, 4)])
def test_crops_that_do_not_fit_are_refused(size):
    with pytest.raises(ValueError, match=r"from 1 to the frames' 20x30, got .*Lower crop"):
        crop_batch(make_batch(), size, step=0)


class Relative(nn.Module):
    """Divide by the mean of the whole frame, as one that sees whole frames can."""

    sees_whole = True

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, frames, crop=None):
        whole = frames if crop is None else crop.whole
        return self.gain * frames / whole.mean((1, 2, 3), keepdim=True)


class Watch(nn.Module):
    def forward(self, x, enhanced, seeds):
        self.seen = x, enhanced


@pytest.mark.parametrize("shape", [(3, 20, 30), (2, 3, 20, 30)])
def test_the_module_trains_on_crops_of_a_network_that_sees_the_whole(shape):
    loss = WeightedTerms({"sup_mse": SupervisedMSE()}, {"sup_mse": 1.0})
    loss.terms["sup_mse"].needs_scores = True
    module = VQEModule(Relative(), Watch(), loss, crop=(8, 10))
    batch = make_batch(shape)
    step, values = module._shared_step(batch)
    expected = (batch["x"] / batch["x"].mean((-3, -2, -1), keepdim=True)).flatten(0, -4)
    cropped, _ = crop_batch(batch | {"y": module(batch["x"])}, (8, 10), step=0)
    assert expected.shape[0] == len(step.x) == len(cropped["x"].flatten(0, -4))
    torch.testing.assert_close(step.enhanced, cropped["y"].flatten(0, -4))
    assert step.clip_length == (shape[0] if len(shape) == 4 else 1)
    x, enhanced = module.critics.seen  # critics see the crop
    assert x.shape == enhanced.shape == step.x.shape == (len(expected), 3, 8, 10)
    values["loss"].backward()
    assert module.network.gain.grad.isfinite()
