"""`model_vqe.compiled=true`: the same numbers, files and names of weights as without."""

import copy
import functools

import pytest
import torch
from conftest import SMALL_NANO, compose_config
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from network_checks import perturb
from torch._inductor import config as inductor

from vqe.cli import CONF_DIR
from vqe.inference.enhancer import Enhancer
from vqe.inputs import read_network
from vqe.models import Base, Nano
from vqe.models.crop import Crop
from vqe.models.enhancement import enhance, enhance_sequence
from vqe.models.texture import to_blocks
from vqe.training import testing
from vqe.training import train as train_vqe
from vqe.training.checkpoints import read_checkpoint

SMALL = {name: value for name, value in SMALL_NANO.items() if name != "_target_"}
OPTIONS = (
    *("model_vqe.grid_size=8", "model_vqe.low_res=32", "model_vqe.width=4", "callbacks=ema"),
    *("test=false", "scheduler=none", "callbacks.before_after=null"),
)


@pytest.fixture
def traced(monkeypatch):
    """Let torch.compile trace, guard and run a graph, without building kernels; count graphs."""
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    yield torch._dynamo.utils.counters
    torch.compiler.reset()


def count_graphs(counters):
    return counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("name", ["vqe", "test_vqe", "enhance"])
def test_what_runs_a_network_is_none_of_its_arguments(name):
    config = compose_entry(name, "model_vqe=nano", "model_vqe.compiled=true")
    assert config.model_vqe.compiled is True
    assert "compiled" not in read_network(config)
    assert type(instantiate(read_network(config))) is Nano


@pytest.mark.parametrize("name", ["test_vqe", "enhance", "submission_pack"])
def test_no_network_is_named_where_a_checkpoint_names_it(name):
    assert read_network(compose_entry(name)) is None


def compose_entry(name, *overrides):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(name, overrides=list(overrides))


def test_compiled_training_writes_what_an_eager_one_writes(tiny_config, tmp_path, traced):
    runs = {compiled: tmp_path / compiled for compiled in ("false", "true")}
    numbers = {}
    for compiled, run in runs.items():
        config = tiny_config(*OPTIONS, f"model_vqe.compiled={compiled}", run=run)
        numbers[compiled] = train_vqe.train(config)
        assert (count_graphs(traced) > 0) == (compiled == "true")
    assert numbers["true"] == pytest.approx(numbers["false"], rel=1e-5)
    eager, found = (read_checkpoint(run / "checkpoints/last.ckpt") for run in runs.values())
    assert found["network_config"] == eager["network_config"]
    assert list(found["state_dict"]) == list(eager["state_dict"])
    assert list(found["ema_raw_weights"]) == list(eager["ema_raw_weights"])
    # each goes on with what the other wrote
    for compiled, other in ("false", "true"), ("true", "false"):
        resume = f"resume_from='{runs[other] / 'checkpoints/last.ckpt'}'"
        more = (f"model_vqe.compiled={compiled}", "trainer.max_epochs=2", resume)
        assert train_vqe.train(tiny_config(*OPTIONS, *more, run=tmp_path / f"again {compiled}"))


def test_compiled_test_keeps_apart_what_it_computed(data_folder, nano_checkpoint, tmp_path, traced):
    options = (
        *(f"dataset.path='{data_folder}'", f"checkpoint='{nano_checkpoint}'", "trainer=cpu"),
        *("model_vqa.weights=untrained", "model_dover=off", "dataloader.num_workers=0"),
        *("only_csv=true", "callbacks.progress_bar=null", "callbacks.before_after=null"),
        "dataset.holdout_query='subset == \"test_supervised_synthetic\"'",
    )
    eager = compose_config(tmp_path / "runs", *options, name="test_vqe")
    eager.paths.run = str(tmp_path / "runs/eager")
    expected = testing.test(eager)
    compiled = copy.deepcopy(eager)
    compiled.model_vqe.compiled, compiled.resume = True, "auto"
    compiled.paths.run = str(tmp_path / "runs/compiled")
    before = count_graphs(traced)
    assert testing.test(compiled) == pytest.approx(expected, rel=1e-5)
    assert count_graphs(traced) > before  # nothing was taken over: other rounding, other records


def test_compiled_enhancing_is_torch_s_alone(nano_checkpoint, traced):
    frames = torch.rand(3, 48, 64).numpy()
    enhancers = [Enhancer(nano_checkpoint, device="cpu", compiled=c) for c in (False, True)]
    eager, compiled = (enhancer.planes(frames) for enhancer in enhancers)
    assert count_graphs(traced) > 0
    assert abs(eager - compiled).max() <= 1e-5
    assert enhancers[0].identity != enhancers[1].identity
    with pytest.raises(ValueError, match=r"compiled=false with backend=onnx.*Set backend=torch"):
        Enhancer(nano_checkpoint, backend="onnx", device="cpu", compiled=True)


def test_a_compiled_network_s_copy_is_not_compiled():
    network = Nano(**SMALL)
    network.compile()
    assert network._compiled_call_impl is not None
    assert copy.deepcopy(network)._compiled_call_impl is None


@pytest.mark.parametrize("size", [(8, 12), (5, 7)])
def test_compiled_networks_repeat_borders_as_others_do(size, traced):
    frames = torch.rand(2, 3, *size, requires_grad=True)
    compiled = torch.compile(to_blocks)(frames)
    torch.testing.assert_close(compiled, to_blocks(frames), rtol=0, atol=0)
    weights = torch.rand_like(compiled)
    gradients = [
        torch.autograd.grad((blocks * weights).sum(), frames)[0]
        for blocks in (compiled, to_blocks(frames))
    ]
    torch.testing.assert_close(*gradients)
    assert count_graphs(traced) == 1


def run_training(network, device):
    """Return what a crop of two frames becomes, and the gradients."""
    generator = torch.Generator().manual_seed(1)
    whole = torch.rand(2, 3, 48, 64, generator=generator).to(device)
    crop = Crop(whole, torch.tensor([[0.25, 0.25, 0.5, 0.5]] * 2, device=device))
    enhanced = enhance(network.train(), whole[..., 12:36, 16:48], crop)
    enhanced.square().mean().backward()
    return enhanced.detach(), torch.cat([p.grad.flatten() for p in network.parameters()])


@torch.no_grad()
def run_video(network, device):
    """Return three frames, enhanced one after the other."""
    clip = torch.rand(1, 3, 3, 48, 64, generator=torch.Generator().manual_seed(2)).to(device)
    state = network.initial_state(1, 48, 64)
    return enhance_sequence(network.eval(), clip, state)


def check_exact(device):
    torch.manual_seed(0)
    networks = {run_training: Base(channels=4, layers=1, **SMALL), run_video: Nano(**SMALL)}
    for run, network in networks.items():
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        perturb(network).to(device)
        compiled = copy.deepcopy(network)
        compiled.compile()
        results = run(compiled, device), run(network, device)
        torch.testing.assert_close(*results, rtol=0, atol=1e-5)
        assert list(compiled.state_dict()) == list(network.state_dict())
        assert count_graphs(torch._dynamo.utils.counters) == 1


@pytest.mark.slow
@inductor.patch({"cpp.vec_isa_ok": False, "compile_threads": 1})
def test_compiled_is_exact():
    # plain code: what vectors a CPU has is found out by compiling, which takes half the time
    check_exact("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_compiled_is_exact_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        check_exact("cuda")
    finally:
        torch.set_float32_matmul_precision(before)
