"""The commands of docs/ratings.md run as they stand, and the study is rated in between."""

import re
import shlex

import pytest
from conftest import run_here
from served import Served
from study_data import write_clips
from test_critic_pairs import rate

from vqe.cli import REPOSITORY

TEXT = (REPOSITORY / "docs/ratings.md").read_text()
COMMANDS = [c for b in re.findall(r"```bash\n(.*?)```", TEXT, re.S) for c in b.splitlines()]
SHORT = {
    "plan": ("votes=8", "pairs_per_session=4", "trap_seconds=0.2", "gold=2", "traps=2"),
    "analyse": ("options.replicates=20", "cleaning.agreement=null"),
    "train_vqa.py": ("side=32", "trainer=cpu", "trainer.max_epochs=1", "logger=none"),
    "score_videos.py": ("device=cpu",),
}


def fill_in(command, places):
    for name, path in places.items():
        command = command.replace(f"<{name}>", str(path))
    words = shlex.split(command)[1:]
    key = words[1] if words[0] == "ratings.py" else words[0]
    return [*words, *SHORT[key], f"paths.outputs='{places['results']}'"]


@pytest.mark.slow
def test_the_page_s_commands_run_in_their_order(tmp_path):
    clips = write_clips(tmp_path, contents=4)
    places = {"nano": clips / "nano", "base": clips / "base", "inputs": clips / "input"}
    places |= {"study": tmp_path / "study", "results": tmp_path / "results"}
    places["votes.csv"] = places["study"] / "results/votes.csv"
    assert [shlex.split(c)[1] for c in COMMANDS].count("ratings.py") == 5
    for command in COMMANDS:
        if " serve " in command:
            assert command == "python ratings.py serve study=<study>"
            served = Served(places["study"], tmp_path / "log.txt")
            assert served.stop() in (0, 143)
            rate(places["study"])
        else:
            script, *arguments = fill_in(command, places)
            folder = REPOSITORY / "vqe"
            assert run_here(folder / script, arguments, folder) == 0, command
    results = {path.name for path in (places["study"] / "results").iterdir()}
    assert {"methods.csv", "results.json", "ratings.html", "correlation.csv"} <= results
    for name in re.findall(
        r"`(\w+\.(?:csv|json|html))`", TEXT.split("**4. Use it")[0].split("**3.")[1]
    ):
        assert name in results, name


def test_every_setting_that_the_page_names_is_there():
    for key in ("vote_sd", "access", "database", "base_url", "remove_bias", "significance"):
        assert key in TEXT
        configs = "".join(p.read_text() for p in (REPOSITORY / "conf").glob("ratings_*.yaml"))
        assert f"{key}:" in configs
