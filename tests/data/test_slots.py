"""Batches lie in slots that are used again, and never while anybody holds one."""

import gc

import pytest
import torch
from conftest import write_data

from vqe.data import LoaderOptions, VQEDataModule
from vqe.data.slots import Filled, Slots

SHAPE = (2, 3, 4, 5)


def fill(slots: Slots, value: int) -> Filled:
    slot, x, y = slots.take(SHAPE)
    x.fill_(value)
    y.fill_(value + 100)
    return Filled(slot, SHAPE, has_y=True)


@pytest.mark.parametrize("processes", [0, 1])
def test_a_slot_is_free_again_once_x_and_y_are_gone(processes):
    slots = Slots(processes, 2, 120)
    filled = fill(slots, 7)
    x, y = slots.open(filled)
    assert (x == 7).all() and (y == 107).all()
    part = y[0]
    del x, y
    gc.collect()
    assert fill(slots, 8).slot != filled.slot  # a part of y is held
    del part
    gc.collect()
    assert fill(slots, 9).slot == filled.slot


def test_a_slot_of_a_test_loop_is_released_after_it():
    with torch.inference_mode():
        slots = Slots(0, 1, 120)
        x, y = slots.open(fill(slots, 1))
    del x, y
    gc.collect()
    assert not slots.held.any()


def test_without_a_free_slot_frames_lie_in_fresh_memory():
    slots = Slots(0, 2, 120)
    held = [slots.open(fill(slots, value)) for value in (1, 2)]
    slot, x, _ = slots.take(SHAPE)
    assert slot is None
    x.fill_(3)
    assert [int(x[0, 0, 0, 0]) for x, _ in held] == [1, 2]


def test_frames_larger_than_a_slot_lie_in_fresh_memory():
    slot, x, y = Slots(0, 1, 119).take(SHAPE)
    assert slot is None
    assert x.shape == y.shape == SHAPE


def test_a_broken_pass_leaves_no_slot_taken():
    slots = Slots(0, 2, 120)
    held = slots.open(fill(slots, 1))
    lost = fill(slots, 2)  # never opened
    assert slots.take(SHAPE)[0] is None
    slots.begin_pass()
    assert fill(slots, 3).slot == lost.slot
    assert (held[0] == 1).all()


def test_without_targets_y_is_zero():
    slots = Slots(0, 1, 120)
    slot = fill(slots, 5).slot
    x, y = slots.open(Filled(slot, SHAPE, has_y=False))
    assert (x == 5).all()
    assert y.shape == SHAPE
    assert not y.any()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def load(folder, workers: int) -> VQEDataModule:
    options = LoaderOptions(batch_size=2, eval_batch_size=2, num_workers=workers)
    data = VQEDataModule(str(folder), loader=options, train_query="h == 72")
    data.setup("fit")
    data.setup("test")
    return data


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_held_for_a_whole_pass_are_the_samples(folder, workers):
    for loader in (
        load(folder, workers).train_dataloader(),
        load(folder, workers).test_dataloader(),
    ):
        for _ in range(2):
            keys = list(loader.batch_sampler)
            held = list(loader)  # more than there are slots
            assert len(held) == len(keys) > loader.slots.each
            for batch, batch_keys in zip(held, keys, strict=True):
                for i, key in enumerate(batch_keys):
                    sample = loader.dataset[key]
                    assert batch.keys() == sample.keys()
                    assert all(torch.equal(batch[k][i], torch.as_tensor(sample[k])) for k in sample)


@pytest.mark.parametrize("workers", [0, 1])
def test_passes_broken_off_do_not_use_the_slots_up(folder, workers):
    loader = load(folder, workers).train_dataloader()
    for _ in range(6):
        for batch in loader:
            first = batch["x"].clone()
            break
    del batch
    memory, in_slots = loader.slots.memory, []
    for batch in loader:
        in_slots.append(0 <= batch["x"].data_ptr() - memory.data_ptr() < memory.nbytes)
    # a worker may still have been filling a slot of the last pass when this one began
    assert sum(in_slots) >= len(in_slots) - 2 > 2
    assert first.any()
