import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_weights import golden_numbers, image

from vqe.critics.dover.views import (
    cut_fragments,
    draw_offsets,
    enlarge_to_fit,
    normalise,
    resize,
    shrink,
)


def golden_frame_and_offsets():
    golden = golden_numbers()
    rows, columns = (torch.from_numpy(golden[f"frag_off_{axis}"]).permute(2, 0, 1) for axis in "hw")
    return torch.from_numpy(image(360, 640, 3, 1)), (rows, columns)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_technical_view_equals_the_golden_one():
    frame, offsets = golden_frame_and_offsets()
    expected = golden_numbers()["view_technical_t"].transpose(1, 0, 2, 3)  # clips before channels
    np.testing.assert_array_equal(cut_fragments(frame, offsets)[0].numpy(), expected)


def test_aesthetic_view_equals_the_golden_one():
    frame, _ = golden_frame_and_offsets()
    np.testing.assert_array_equal(shrink(frame)[0].numpy(), golden_numbers()["view_aesthetic"])


def test_aesthetic_view_does_not_depend_on_the_number_of_threads(one_thread):
    frame, _ = golden_frame_and_offsets()
    np.testing.assert_array_equal(shrink(frame)[0].numpy(), golden_numbers()["view_aesthetic"])


@pytest.mark.parametrize("size", [(224, 224), (301, 97), (500, 640)])
def test_resize_is_bilinear_without_antialiasing(size):
    frames = torch.randint(0, 256, (2, 3, 233, 411), dtype=torch.uint8)
    expected = F.interpolate(frames.double(), size=size, mode="bilinear")
    error = (resize(frames, size).double() - expected).abs().max()
    assert error <= 0.5 + 0.02  # the nearest level, up to the precision of positions in float32


def cut_by_loops(frame: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    height, width = frame.shape[1:]
    out = np.empty((3, 224, 224), np.uint8)
    for i in range(7):
        for j in range(7):
            top = min(height // 7 * i, height - 32) + rows[i, j]
            left = min(width // 7 * j, width - 32) + columns[i, j]
            out[:, 32 * i : 32 * i + 32, 32 * j : 32 * j + 32] = frame[
                :, top : top + 32, left : left + 32
            ]
    return out


def test_fragments_of_each_frame_lie_at_its_own_offsets():
    frames = torch.randint(0, 256, (2, 3, 301, 517), dtype=torch.uint8)
    drawn = [draw_offsets(301, 517, 2, torch.Generator().manual_seed(s)) for s in (1, 2)]
    rows, columns = (torch.stack(axis) for axis in zip(*drawn, strict=True))
    views = cut_fragments(frames, (rows, columns)).numpy()
    assert views.shape == (2, 2, 3, 224, 224)
    for b in range(2):
        for clip in range(2):
            expected = cut_by_loops(
                frames[b].numpy(), rows[b, clip].numpy(), columns[b, clip].numpy()
            )
            np.testing.assert_array_equal(views[b, clip], expected)


def test_shared_offsets_apply_to_every_frame():
    frames = torch.randint(0, 256, (2, 3, 240, 260), dtype=torch.uint8)
    rows, columns = draw_offsets(240, 260, 3, torch.Generator().manual_seed(0))
    each = tuple(o.expand(2, -1, -1, -1) for o in (rows, columns))
    assert torch.equal(cut_fragments(frames, (rows, columns)), cut_fragments(frames, each))
    as_arrays = (rows.numpy(), columns.numpy())
    assert torch.equal(cut_fragments(frames, (rows, columns)), cut_fragments(frames, as_arrays))


def test_offsets_fill_their_range_and_follow_the_generator():
    rows, columns = draw_offsets(360, 640, 200, torch.Generator().manual_seed(7))
    assert rows.shape == columns.shape == (200, 7, 7) and rows.dtype == torch.int64
    assert (rows.min(), rows.max()) == (0, 360 // 7 - 32 - 1)
    assert (columns.min(), columns.max()) == (0, 640 // 7 - 32 - 1)
    again = draw_offsets(360, 640, 200, torch.Generator().manual_seed(7))
    other = draw_offsets(360, 640, 200, torch.Generator().manual_seed(8))
    assert torch.equal(rows, again[0]) and torch.equal(columns, again[1])
    assert not torch.equal(rows, other[0])


def test_offsets_are_zero_where_a_cell_is_no_larger_than_a_patch():
    rows, columns = draw_offsets(230, 640, 3, torch.Generator().manual_seed(0))
    assert not rows.any() and columns.any()


@pytest.mark.parametrize(("height", "width"), [(100, 180), (223, 900), (16, 16)])
def test_small_frames_are_enlarged_first(height, width):
    frames = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)
    size = enlarge_to_fit(height, width)
    assert min(size) == 224
    assert size[0] / size[1] == pytest.approx(height / width, rel=0.01)
    offsets = draw_offsets(height, width, 2, torch.Generator().manual_seed(0))
    views = cut_fragments(frames, offsets)
    assert torch.equal(views, cut_fragments(resize(frames, size), offsets))


def test_frames_of_enough_pixels_keep_their_size():
    assert enlarge_to_fit(224, 225) == (224, 225)


def test_normalise_takes_off_the_published_means():
    views = torch.tensor([124, 116, 104], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = [(124 - 123.675) / 58.395, (116 - 116.28) / 57.12, (104 - 103.53) / 57.375]
    torch.testing.assert_close(normalise(views).flatten(), torch.tensor(expected))


def test_offsets_of_another_shape_are_an_error():
    frames = torch.zeros(2, 3, 240, 240, dtype=torch.uint8)
    rows = torch.zeros(7, 7, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\[num_clips,7,7\].*got \[7, 7, 3\]"):
        cut_fragments(frames, (rows, rows))
    rows = torch.zeros(3, 1, 7, 7, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\[2,num_clips,7,7\]"):
        cut_fragments(frames, (rows, rows))


@pytest.mark.parametrize("value", [-1, 329])
def test_offsets_outside_the_frame_are_an_error(value):
    frames = torch.zeros(1, 3, 360, 640, dtype=torch.uint8)
    rows, columns = draw_offsets(360, 640, 1)
    rows[0, 0, 0] = value
    with pytest.raises(ValueError, match="stay inside a frame of 360x640"):
        cut_fragments(frames, (rows, columns))
