"""The P.910 toolkit's CSVs <-> votes of ours.

The toolkit stores a vote as the processed clip compared with its reference, whatever was shown
first, so what is read here says nothing of the order. Method and content come from a clip's
address by a pattern, the method from the column `condition` where there is one.
"""

import re
from pathlib import Path

import pandas as pd

from vqe.files import write_csv
from vqe.subjective.votes import PAIR, REFERENCE

VOTES_PER_WORKER = ("HITId", "workerid", "file", "vote")
CLIP = "file_url"  # of votes per clip, beside vote_1, vote_2, ..
PATTERN = r"(?P<method>[^/]+)/(?P<content>[^/]+?)\.\w+$"
Z95 = 1.96  # the toolkit's own


def read_toolkit(table: pd.DataFrame, pattern: str, path: Path) -> pd.DataFrame | None:
    """Return a vote a row, or None where the table is none of the toolkit's.

    Raises:
        ValueError: a clip's address does not fit the pattern.
    """
    if set(VOTES_PER_WORKER) <= set(table):
        long = table.rename(columns={"HITId": "session", "workerid": "rater", "file": "clip"})
        condition = long.get("condition")
    elif CLIP in table:
        votes = [c for c in table if re.fullmatch(r"vote_\d+", str(c))]
        long = table.melt(id_vars=[CLIP], value_vars=votes, var_name="rater", value_name="vote")
        long = long.dropna(subset=["vote"]).rename(columns={CLIP: "clip"})
        long, condition = long.assign(rater="unknown", session="unknown"), None
    else:
        return None
    found = long["clip"].astype(str).str.extract(pattern)
    if "content" not in found or found["content"].isna().any():
        clip = long["clip"].iloc[0 if "content" not in found else found["content"].isna().argmax()]
        raise ValueError(
            f"expected clips that fit toolkit_pattern={pattern}, with groups method and content, "
            f"got {clip!r} ({path})"
        )
    method = condition.fillna("").astype(str) if condition is not None else found["method"]
    return pd.DataFrame(
        {
            "rater": long["rater"].astype(str),
            "session": long["session"].astype(str),
            "kind": PAIR,
            "content": found["content"],
            "first": REFERENCE,
            "second": method.where(method != "", found.get("method", "")),
            "vote": long["vote"],
        }
    ).reset_index(drop=True)


def write_toolkit(votes: pd.DataFrame, folder: Path) -> None:
    """Write used votes on pairs with the input as the toolkit does, per clip and per worker."""
    against = votes[(votes["first"] == REFERENCE) | (votes["second"] == REFERENCE)]
    turned = against["second"] == REFERENCE
    method = against["second"].where(~turned, against["first"])
    long = pd.DataFrame(
        {
            "HITId": against["session"],
            "workerid": against["rater"],
            "file": method + "/" + against["content"] + ".mp4",
            "vote": against["vote"].where(~turned, -against["vote"]).astype(int),
            "condition": method,
        }
    )
    write_csv(long, folder / "votes_per_worker.csv")
    grouped = long.groupby("file", sort=True)["vote"]
    wide = pd.DataFrame({"n": grouped.size(), "CMOS": grouped.mean(), "std": grouped.std()})
    wide["95%CI"] = Z95 * wide["std"] / wide["n"] ** 0.5
    number = long.groupby("file").cumcount() + 1
    single = long.assign(name=number).pivot(index="file", columns="name", values="vote")
    single.columns = [f"vote_{i}" for i in single.columns]
    wide = wide.join(single.astype("Int64")).reset_index(names=CLIP)
    write_csv(wide, folder / "votes_per_clip.csv", float_format="%.6g")


def write_toolkit_input(trials: pd.DataFrame, address: dict[str, str], folder: Path) -> None:
    """Write what the toolkit reads to show the same clips.

    Args:
        trials: of the plan: kind, clip_first, clip_second, expected.
        address: where a clip will be, by its name.
        folder: to write to.
    """
    shown = trials.drop_duplicates(["kind", "clip_first", "clip_second"])
    names = {
        "pair": ("rating_clips.csv", ("src", "pvs")),
        "training": ("training_clips.csv", ("training_src", "training_pvs")),
        "gold": ("gold_clips.csv", ("gold_clips_src", "gold_clips_pvs")),
        "trap": ("trapping_clips.csv", ("trapping_src", "trapping_pvs")),
    }
    for kind, (name, (src, pvs)) in names.items():
        part = shown[shown["kind"] == kind]
        table = pd.DataFrame(
            {pvs: part["clip_second"].map(address), src: part["clip_first"].map(address)}
        )
        if kind in ("gold", "trap"):
            answer = part["expected"].astype(int)
            table[f"{'gold_clips' if kind == 'gold' else 'trapping'}_ans"] = answer
        write_csv(table, folder / name)
