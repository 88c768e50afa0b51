"""Ratings: what intervals cover, who is cleaned out, the time of an analysis, votes under load.

python benchmarks/ratings.py [--quick] [--json FILE]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from measuring import describe_machine, peak_memory_mb
from rating_load import measure_load
from rating_simulation import SPAMMERS, World, simulate

import vqe.cli
from vqe.device import choose_device
from vqe.subjective.analyse import analyse_votes, write_results
from vqe.subjective.opinion import rate_pairs, rate_videos
from vqe.subjective.screening import estimate_bias
from vqe.subjective.strength import rank_votes
from vqe.subjective.votes import check_votes, encode

RATERS, CONTENTS = 40, 20  # of a simulated study
CHALLENGE = {"raters": 4586, "contents": 300, "sessions": 1, "pairs": 30}  # 137,580 votes
CHALLENGE_WORLD = {"input": 0, "BA": 0.6, "MA": 0.5, "LU": 0.4, "WI": -0.1, "SU": 1.0, "DE": 0.9}


def measure_coverage(studies: int) -> dict[str, float]:
    """Return how often 95 % intervals of seeded studies hold the truth, all figures pooled."""
    world = World()
    strengths = world.strengths()
    hits: dict[str, list] = {"cmos": [], "strength": [], "video": []}
    ordered = 0
    for seed in range(studies):
        votes = simulate(world, raters=RATERS, contents=CONTENTS, seed=seed)
        codes = encode(check_votes(votes, "simulation"))
        scores = codes.shown - estimate_bias(codes)[codes.rater]
        pairs = rate_pairs(codes, scores, replicates=400, seed=seed, precision=0.1)
        for row in pairs.itertuples():
            hits["cmos"].append(row.low <= world.cmos(row.a, row.b) <= row.high)
        ranking = rank_votes(codes, ties="davidson").table
        for row in ranking.itertuples():
            hits["strength"].append(row.low <= strengths[row.method] <= row.high)
        ordered += list(ranking["method"]) == sorted(strengths, key=strengths.get, reverse=True)
        hits["video"] += cover_videos(world, seed)
    shares = {f"coverage_{name}": float(np.mean(hit)) for name, hit in hits.items()}
    return shares | {"order_found": ordered / studies}


def cover_videos(world: World, seed: int) -> list[bool]:
    """Return whether the intervals of one video hold its truth; many raters see it."""
    fixed = World(quality=world.quality, order=0.0, by_content=0.0)
    votes = simulate(fixed, raters=60, contents=2, sessions=6, pairs=2, seed=seed)
    codes = encode(check_votes(votes, "simulation"))
    table = rate_videos(codes, codes.shown, replicates=400, seed=seed)
    return [r.low <= fixed.cmos("input", r.method) <= r.high for r in table.itertuples()]


def measure_cleaning(rules: dict, studies: int) -> dict[str, float]:
    """Return the share of spammers with no vote left, of each kind, and of honest raters with."""
    from vqe.subjective.cleaning import REMOVED, clean

    left: dict[str, list] = {kind: [] for kind in ("honest", *SPAMMERS)}
    for seed in range(studies):
        spammers = dict.fromkeys(SPAMMERS, 2)
        votes = simulate(World(), raters=RATERS, contents=CONTENTS, seed=seed, spammers=spammers)
        cleaned = clean(check_votes(votes, "simulation"), rules)
        used = (cleaned[REMOVED] == "").groupby(cleaned["rater"]).any()
        for rater, is_used in used.items():
            left[rater.split("-")[0]].append(is_used)
    out = {f"{kind}_out": 1 - float(np.mean(left[kind])) for kind in SPAMMERS}
    return {
        "spammers_out": float(np.mean(list(out.values()))),
        **out,
        "honest_kept": float(np.mean(left["honest"])),
    }


def measure_analysis(rules: dict, scale: dict) -> dict[str, float]:
    """Return seconds and memory of an analysis with all its files."""
    votes = check_votes(simulate(World(quality=CHALLENGE_WORLD), **scale, seed=1), "simulation")
    before = peak_memory_mb(choose_device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = analyse_votes(
            votes, rules, ties="davidson", remove_bias=True, replicates=1000, seed=1, precision=0.1
        )
        write_results(results, Path(folder))
        seconds = time.perf_counter() - start
    return {
        "votes": results.facts["votes"],
        "analyse_seconds": seconds,
        "analyse_peak_mb": peak_memory_mb(choose_device("cpu")),
        "before_peak_mb": before,
    }


def load_rules() -> dict:
    """Return the cleaning rules that the config has."""
    vqe.cli.register_resolvers()
    with initialize_config_dir(str(vqe.cli.CONF_DIR), version_base="1.3"):
        config = compose("ratings_analyse", overrides=["paths.run=."])
    return instantiate(config.cleaning, _convert_="all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    args = parser.parse_args()
    rules = load_rules()
    scale = CHALLENGE | ({"raters": 60, "contents": 30} if args.quick else {})
    analysis = measure_analysis(rules, scale)  # first: it looks at the peak memory
    coverage = measure_coverage(5 if args.quick else 200)
    figures = {
        "coverage": coverage["coverage_cmos"],
        **coverage,
        **measure_cleaning(rules, 2 if args.quick else 40),
        **analysis,
        **measure_load(raters=10 if args.quick else 200, seconds=3 if args.quick else 20),
        "machine": describe_machine(choose_device("cpu")),
    }
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
