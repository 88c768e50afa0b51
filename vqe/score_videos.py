"""Videos -> a CSV of their quality, with no reference or beside the videos they were made from.

python score_videos.py input=<videos> reference=<inputs> output=scores.csv
"""

from vqe.cli import entry
from vqe.inputs import check_scoring


@entry("score_videos", check=check_scoring)
def main(cfg) -> None:
    """Score as configured; end with status 1 if a video could not be scored."""
    from vqe.scoring.score_videos import score_videos

    if (score_videos(cfg)["error"] != "").any():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
