"""An installed wheel, outside the checkout: its commands find their configs and do their work."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import HANGS, TINY

from vqe.cli import REPOSITORY
from vqe.inputs import list_shipped

pytestmark = pytest.mark.slow


def run(command, folder, code=0):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=clean | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
    )
    assert done.returncode == code, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The commands' folder of an environment with the wheel and what this one has beside vqe."""
    root = tmp_path_factory.mktemp("wheel")
    source = root / "source"
    source.mkdir()
    for name in ("vqe", "conf"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, ignore=skip)
    weights = source / "vqe" / "models" / "weights"
    weights.mkdir(exist_ok=True)
    (weights / "probe.safetensors").touch()
    shutil.copy(REPOSITORY / "setup.py", source)
    pip = (sys.executable, "-m", "pip")
    offline = ("--quiet", "--no-deps", "--no-index")
    run([*pip, "wheel", *offline, "--no-build-isolation", "-w", root, source], root)
    shutil.rmtree(source)
    [wheel] = root.glob("vqe-*.whl")
    run([sys.executable, "-m", "venv", "--without-pip", root / "env"], root)
    [packages] = (root / "env").glob("lib/python*/site-packages")
    # a folder named in a .pth does not have its own .pth read: the editable vqe stays out
    (packages / "shared.pth").write_text(sysconfig.get_paths()["purelib"])
    run([*pip, "--python", root / "env/bin/python", "install", *offline, wheel], root)
    return root / "env" / "bin"


def test_the_package_is_the_wheel_s(installed, tmp_path):
    where = run([installed / "python", "-c", "import vqe; print(vqe.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_weights_ship_with_it(installed, tmp_path):
    words = run(
        [installed / "python", "-c", "from vqe.inputs import list_shipped as f; print(*f())"],
        tmp_path,
    )
    assert words.split() == sorted([*list_shipped(), "probe"])


def test_every_command_prints_its_help(installed, tmp_path):
    commands = sorted(installed.glob("vqe-*"))
    assert len(commands) > 8
    for command in commands:
        assert "== Config ==" in run([command, "--help"], tmp_path), command
    assert not list(tmp_path.iterdir())


def test_data_is_built_and_a_network_trained(installed, source_dir, tmp_path):
    options = ("--config-name", "data/all_30fps", f"data.source_dir='{source_dir}'", "data.jobs=1")
    run([installed / "vqe-build", *options], tmp_path)
    assert (source_dir / "train.csv").is_file()
    small = ("trainer.max_epochs=1", "test=false")
    run([installed / "vqe-train", *TINY, *small, f"dataset.path='{source_dir}'"], tmp_path)
    # vqe_root of an installed command is the folder that it is run in
    [checkpoint] = tmp_path.glob("outputs/*/*/checkpoints/last.ckpt")
    assert checkpoint.stat().st_size > 1000


def test_the_demo_asks_for_a_checkout(installed, tmp_path):
    words = run([installed / "python", "-m", "vqe.demo"], tmp_path, code=2)
    assert words.startswith("error: expected the demo in a checkout")
    assert len(words.splitlines()) == 1
