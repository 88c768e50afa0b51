"""Every command of README.md and docs/*.md runs as it stands, on a small data folder."""

import json

import pytest
from conftest import run_command
from doc_commands import (
    STEPS,
    TWO_PROCESSES,
    Workshop,
    first_of_each_script,
    parse,
    read_commands,
    serve,
)
from file_server import run_server

from vqe.cli import REPOSITORY

LINES = read_commands()
ELSEWHERE = ["make demo", "make test", TWO_PROCESSES]  # test_demo.py, what runs this, test_ddp.py
COMMANDS = [line for line in LINES if line not in ELSEWHERE]
OWN_PROCESS = first_of_each_script(COMMANDS)


def name(command):
    """Name a test after its script and what tells it from others of that script."""
    call = parse(command)
    return f"{call.script} {' '.join(a for a in call.arguments if 'model_' not in a)}"[:90]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    with run_server() as server:
        made = Workshop(tmp_path_factory, server)
        serve(server, made.raw)
        yield made


def check_builder_s_figures(result):
    assert result["machine"]["cores"] >= 1
    assert result["extract_left_out"] == []
    assert result["extract_frames"] == 16
    assert result["rows"] == 2000
    assert min(result[f"{name}_ratio"] for name in ("extract", "csv")) > 0
    assert result["rows_seconds"] > 0
    assert 50 < result["rows_peak_mb"] < 2000
    assert result["rows_4m_seconds"] is None  # 2000 rows say nothing of 4 million


def check_loading_s_figures(found):
    pairs = {("jpg", "random"), ("png", "random"), ("video", "sequential"), ("video", "random")}
    cases = {(*pair, workers) for pair in pairs for workers in (0, 1, 2)}
    assert {(c["source"], c["order"], c["workers"]) for c in found["cases"]} == cases
    for case in found["cases"]:
        assert case["frames_per_second"] > 0
        ratio = case["decoder_frames_per_second"] / case["frames_per_second"]
        expected = (ratio - 1) * 100
        assert abs(case["overhead_percent"] - expected) < 1 + 0.05 * abs(expected)
    assert found["disk_bytes"]["png"] > found["disk_bytes"]["video"] > 0


def check_pipeline_s_figures(found):
    stages = {"decode", "network", "critics", "encode"}
    assert set(found["stages"]) == stages and found["bottleneck"] in stages
    alone = [found["stages"][name]["alone_cpu_ms"] for name in stages]
    assert found["alone_cpu_ms"] == pytest.approx(sum(alone))
    assert found["cpu_bound_fps"] == pytest.approx(1000 * found["cores"] / sum(alone))
    assert found["slowest_stage_fps"] == pytest.approx(1000 / max(alone))
    assert found["frames_per_second"] > 0 and found["before_fps"] > 0


CHECKS = {
    "dataset_builder.json": check_builder_s_figures,
    "loading.json": check_loading_s_figures,
    "pipeline.json": check_pipeline_s_figures,
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_command_runs(command, workshop):
    if command in STEPS:  # others start from what it makes: it has run, or does so now
        assert any(getattr(workshop, STEPS[command]).iterdir())
        return
    results = workshop.run(command, own_process=command in OWN_PROCESS)
    for name, check in CHECKS.items():
        if f"<results>/{name}" in command:
            check(json.loads((results / name).read_text()))


def test_every_figure_is_checked():
    assert all(any(f"<results>/{name}" in command for command in COMMANDS) for name in CHECKS)


def test_no_command_is_left_out():
    assert all(command.startswith(("python", "cd ")) for command in COMMANDS)
    assert [line for line in LINES if line in ELSEWHERE] == ELSEWHERE


def test_pages_say_how_the_places_are_made():
    assert set(STEPS) <= set(COMMANDS)


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().split()) <= 900


def test_make_demo_runs_the_demo():
    assert "-m vqe.demo" in run_command(["make", "--dry-run", "demo"], REPOSITORY)
