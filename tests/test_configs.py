"""Every YAML composes, and every group's options build what they name."""

import inspect
import re

import pytest
from conftest import compose_config
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vqe import losses, models
from vqe.building.build import build_dataset
from vqe.cli import CONF_DIR
from vqe.inputs import read_network
from vqe.synthesis.presets import build_faults, find_preset
from vqe.training import assembly

FILES = sorted(p.relative_to(CONF_DIR).with_suffix("") for p in CONF_DIR.rglob("*.yaml"))
APART = ("data", "faults")  # groups of other entries than vqe.yaml
OPTIONS = [f for f in FILES if len(f.parts) > 1 and f.parts[0] not in (*APART, "hydra")]
WHOLE = ("experiment", "paths")  # groups that build nothing of their own
WEIGHTS = ("model_vqa.weights=untrained", "dataset.path=somewhere")


def compose_option(option, tmp_path):
    group = option.parts[0]
    overrides = [*WEIGHTS, f"{group}={option.name}", "trainer.accelerator=cpu"]
    if option.name not in ("off", "demo", "demo_sweep", "pretrain", "pretrain_texture"):
        overrides.append("model_dover.weights=untrained")
    return compose_config(tmp_path, *overrides)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.parts[0] in WHOLE], ids=str)
def test_every_whole_config_composes(option, tmp_path):
    compose_option(option, tmp_path)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.parts[0] not in WHOLE], ids=str)
def test_every_option_composes_and_instantiates(option, tmp_path):
    config = compose_option(option, tmp_path)
    node = config[option.parts[0]]
    if option.parts[0] == "model_vqe":
        node = read_network(config)
    if option.parts[0] in ("callbacks", "logger"):
        assert all(instantiate(part) is not None for part in node.values() if part)
    elif option.parts[0] == "trainer":
        if option.name != "gpu":  # no such device where the tests run
            assert assembly.build_trainer(config) is not None
    elif node:
        assert instantiate(node, _convert_="all") is not None


@pytest.mark.parametrize("name", ["data/all_30fps", "data/demo"])
def test_builder_configs_name_the_builder_s_arguments(name, tmp_path):
    config = compose_config(tmp_path, "data.source_dir=x", name=name)
    assert set(config.data) <= set(inspect.signature(build_dataset).parameters)


def test_every_file_is_reached():
    primary = {f.as_posix() for f in FILES if len(f.parts) == 1}
    entries = {"vqe", "test_vqe", "enhance", "score_videos", "download", "synthesize", "train_vqa"}
    entries |= {"live", "merge_results", "ratings_plan", "ratings_serve", "ratings_analyse"}
    entries |= {"submission_pack", "submission_check", "report"}
    assert primary == entries | {"train_standin"}  # which is a variant of train_vqa
    apart = [f for f in FILES if f.parts[0] in APART]
    assert len(OPTIONS) + len(primary) + len(apart) == len(FILES)


@pytest.mark.parametrize("faults", [f.name for f in FILES if f.parts[0] == "faults"])
def test_faults_compose_and_build(faults, tmp_path):
    overrides = ("source=a", "data.target_dir=b", f"faults={faults}")
    config = compose_config(tmp_path, *overrides, name="synthesize")
    built = build_faults(OmegaConf.to_container(config.degradation))
    assert built.draw(3) == find_preset(faults).draw(3)


def read_menus():
    """Return by group what the root configs choose, and what their comments offer as a | b | c."""
    menus, chosen = [], {}
    for file in sorted(CONF_DIR.glob("*.yaml")):
        for group, name, comment in re.findall(
            r"^  - (\w+): (\w+)(?: # (.*))?$", file.read_text(encoding="utf-8"), re.M
        ):
            chosen.setdefault(group, {"null"}).add(name)
            first, *rest = comment.split("|")
            if rest:
                offered = [re.findall(r"\w+", first)[-1], *(re.findall(r"\w+", r)[0] for r in rest)]
                menus.append((file.name, group, set(offered)))
    return menus, chosen


def test_menus_offer_what_there_is():
    menus, chosen = read_menus()
    assert len(menus) >= 15
    for file, group, offered in menus:
        found = {path.stem for path in (CONF_DIR / group).glob("*.yaml")}
        assert offered | chosen[group] == found | {"null"}, f"{file}: {group}"


def test_a_group_without_a_menu_offers_nothing_else():
    menus, chosen = read_menus()
    for group in chosen.keys() - {group for _, group, _ in menus} - {"data"}:
        found = {path.stem for path in (CONF_DIR / group).glob("*.yaml")}
        assert chosen[group] == found | {"null"}, group


def test_the_menu_of_networks_is_that_of_the_package():
    (offered,) = (names for file, group, names in read_menus()[0] if group == "model_vqe")
    targets = {OmegaConf.load(CONF_DIR / f"model_vqe/{name}.yaml")._target_ for name in offered}
    assert targets == {f"vqe.models.{name}" for name in models.__all__}


def test_no_group_option_has_a_key_its_constructor_does_not_take(tmp_path):
    with pytest.raises(InstantiationException, match="unexpected keyword"):
        instantiate(compose_config(tmp_path, *WEIGHTS, "+dataloader.batchsize=3").dataloader)


def test_the_recipe_names_every_term_and_its_weight(tmp_path):
    loss = compose_config(tmp_path, *WEIGHTS, "loss=recipe").loss
    targets = {term["_target_"].rpartition(".")[2] for term in loss.terms.values()}
    assert targets == set(losses.__all__) - {"LossTerm", "Step", "WeightedTerms"}
    assert set(loss.terms) == set(loss.weights)


STAGES = [f.name for f in FILES if f.name.startswith("stage")]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_what_it_says(stage, tmp_path):
    config = compose_config(tmp_path, *WEIGHTS, f"experiment={stage}", "model_dover=off")
    loss = instantiate(config.loss, _convert_="all")
    assert loss.needs_scores == (stage == "stage3_critics")
    assert (config.crop is not None) == (stage == "stage2_texture")
    assert "ema" in config.callbacks
    assert ("temporal" in loss.weights) == (config.dataset.clip_length > 1)
