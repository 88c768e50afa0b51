"""A sweep over the demo's recipe finds the lowest error of its trials, and knows its direction."""

import pandas as pd
import pytest
from conftest import TINY, run_here
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from vqe import cli
from vqe.cli import CONF_DIR, REPOSITORY, check_sweeper
from vqe.schema import orient_scores
from vqe.training.metrics import ValidationMetrics
from vqe.training.sweeping import check_direction, pick_direction

TRAIN = REPOSITORY / "vqe" / "train_vqe.py"


def compose_sweep(*overrides):
    """Compose the config with Hydra's own part, as --multirun does."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("vqe", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.slow
def test_sweep_over_the_demo_s_recipe_finds_the_lowest_error(data_folder, tmp_path):
    arguments = [
        *("experiment=demo_sweep", *TINY),
        *(f"dataset.path='{data_folder}'", f"hydra.sweep.dir='{tmp_path}'"),
        *("hydra.sweeper.n_trials=2", "optimizer.lr=interval(1e-3, 1e-1)"),
        *("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1"),
        *(
            "crop=[40,40]",
            "trainer.limit_train_batches=4",
            "scheduler=none",
        ),  # else both render the identity
    ]
    assert run_here(TRAIN, arguments, tmp_path) == 0
    found = OmegaConf.load(tmp_path / "optimization_results.yaml")
    rates, errors = [], []
    for trial in ("0", "1"):
        overrides = OmegaConf.load(tmp_path / trial / ".hydra/overrides.yaml")
        given = dict(item.split("=", 1) for item in overrides)
        assert given["dataloader.batch_size"] == "4"  # named on the command line: not searched
        rates.append(float(given["optimizer.lr"]))
        (log,) = (tmp_path / trial).rglob("metrics.csv")
        errors.append(pd.read_csv(log)["val/mse"].dropna().iloc[-1])
    assert errors[0] != errors[1]
    assert all(1e-3 <= rate <= 1e-1 for rate in rates)
    assert set(found.best_params) == {"optimizer.lr", "optimizer.weight_decay"}
    assert found.best_value == pytest.approx(min(errors), rel=1e-6)
    assert found.best_params["optimizer.lr"] == rates[errors.index(min(errors))]


def test_a_sweep_in_the_wrong_direction_ends_before_it_trains(data_folder, tmp_path, capsys):
    arguments = [
        *("--multirun", "hydra/sweeper=optuna", *TINY),
        *(f"dataset.path='{data_folder}'", f"hydra.sweep.dir='{tmp_path}'"),
        *("sweeper_object=val/score", "optimizer.lr=interval(1e-3, 1e-2)"),
    ]
    assert run_here(TRAIN, arguments, tmp_path) == 2
    assert "Set hydra.sweeper.direction=maximize" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_demo_sweep_searches_keys_that_are_there():
    config = compose_sweep("experiment=demo_sweep")
    sweeper = config.hydra.sweeper
    assert sweeper.sampler.seed == config.seed
    check_direction(config.sweeper_object, sweeper)
    missing = object()
    for key in sweeper.params:
        assert OmegaConf.select(config, key, default=missing) is not missing, key


def test_direction_follows_the_object():
    sweeper = compose_sweep("hydra/sweeper=optuna").hydra.sweeper
    check_direction("val/mse", sweeper)
    with pytest.raises(ValueError, match="maximize for sweeper_object=test/score, got minimize"):
        check_direction("test/score", sweeper)
    with pytest.raises(ValueError, match="expected sweeper_object to name"):
        check_direction(None, sweeper)
    sweeper.direction = "maximize"
    check_direction("test/score", sweeper)
    check_direction(None, compose_sweep().hydra.sweeper)  # Hydra's own only lists


def test_direction_of_every_number():
    better = orient_scores(dict.fromkeys(ValidationMetrics.NAMES, 0.9))
    falling = {name for name, value in better.items() if value < 0.5} | {"mse", "rmse"}
    for name in (*ValidationMetrics.NAMES, "score"):
        expected = "minimize" if name in falling else "maximize"
        assert pick_direction(f"val/{name}") == expected
    assert pick_direction("train/vqa") == pick_direction("train/loss") == "minimize"


@pytest.mark.parametrize("argument", ["hydra/sweeper=optuna", "experiment=demo_sweep"])
def test_missing_sweeper_names_the_package(monkeypatch, argument):
    check_sweeper([argument])
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    check_sweeper(["experiment=demo", "sweeper_object=val/mse"])
    with pytest.raises(RuntimeError, match="expected the package hydra-optuna-sweeper"):
        check_sweeper(["--multirun", argument])
