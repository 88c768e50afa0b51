"""Made videos -> one picture to judge them by: input | target, a row a video."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vqe.files import complete_or_absent
from vqe.synthesis.parameters import Parameters
from vqe.synthesis.record import Place, Record, video_paths
from vqe.video import iter_frames

FILE = "synthesis_sheet.png"
HEIGHT, BAND, GAP = 320, 36, 8
GREY = (40, 40, 40)


def write_sheet(target_dir: Path, *, rows: int) -> Path | None:
    """Draw the middle frame of some recorded videos, evenly spread over each subset in turn.

    Args:
        target_dir: the data folder.
        rows: how many videos at most.

    Returns:
        The PNG, None if there is no video or no row is wanted.
    """
    record = Record(target_dir)
    made = {place: row for place, row in record.rows.items() if row["frames"]}
    chosen = choose_places(list(made), rows)
    if not chosen:
        return None
    strips = [_draw_row(target_dir, place, made[place]) for place in chosen]
    width = max(strip.shape[1] for strip in strips)
    padded = [_pad(strip, strip.shape[0] + GAP, width) for strip in strips]
    path = target_dir / FILE
    with complete_or_absent(path) as part:
        part.write_bytes(cv2.imencode(".png", np.concatenate(padded))[1])
    return path


def choose_places(places: Sequence[Place], rows: int) -> list[Place]:
    """Choose the places to show: the subsets take turns, each gives evenly spread videos."""
    by_subset: dict[str, list[Place]] = {}
    for place in places:
        by_subset.setdefault(place[0], []).append(place)
    shares = dict.fromkeys(by_subset, 0)
    while sum(shares.values()) < min(rows, len(places)):
        fewest = min((s for s in shares if shares[s] < len(by_subset[s])), key=shares.get)
        shares[fewest] += 1
    return [
        found[i * len(found) // shares[subset]]
        for subset, found in by_subset.items()
        for i in range(shares[subset])
    ]


def _draw_row(target_dir: Path, place: Place, row: dict[str, str]) -> np.ndarray:
    middle = int(row["frames"]) // 2
    paths = video_paths(target_dir, place)
    x = _fit(_read_frame(paths["x"], middle))
    y = _fit(_read_frame(paths["y"], middle)) if "y" in paths else np.zeros_like(x)
    pair = np.concatenate([x, np.full((HEIGHT, GAP, 3), GREY, np.uint8), y], axis=1)
    pair = _pad(pair, HEIGHT, max(pair.shape[1], 900))  # room for the words
    band = np.full((BAND, pair.shape[1], 3), GREY, np.uint8)
    target = "target" if "y" in paths else "no target"
    title = f"{place[0]}/{place[1]}  input | {target}  {row['source']} +{row['start']}"
    for line, text in enumerate((title, _describe(row))):
        ascii_text = text.encode("ascii", "replace").decode()  # all that OpenCV draws
        cv2.putText(
            band, ascii_text, (4, 14 + 16 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255,) * 3, 1
        )
    return np.concatenate([band, pair])


def _describe(row: dict[str, str]) -> str:
    p = Parameters.from_row(row)
    words = [
        f"severity {float(row['severity']):.2f}",
        f"{p.exposure_stops.start:+.1f} stops",
        f"gamma {p.gamma.start:.2f}",
        f"side {p.side_light_stops.start:.1f}",
        f"warmth {p.warmth_stops.start:+.2f}",
        f"saturation {p.saturation.start:.2f}",
        f"blur {p.blur_sigma:.1f}",
        f"resize {p.resize:.2f}",
        f"shot {p.shot_noise:.3f}",
        f"read {max(p.read_noise):.3f}",
        f"jpeg {p.jpeg_quality or '-'}",
        f"h264 {row['h264_kbps'] or '-'} kbps",
    ]
    return "  ".join(words)


def _read_frame(path: Path, number: int) -> np.ndarray:
    if path.suffix == ".mp4":
        return next(f for i, f in enumerate(iter_frames(path, None, threads=1)) if i == number)
    data = np.fromfile(path / f"frame_{number + 1:04d}.jpg", np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def _fit(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    way = cv2.INTER_AREA if height > HEIGHT else cv2.INTER_NEAREST
    return cv2.resize(frame, (max(1, round(width * HEIGHT / height)), HEIGHT), interpolation=way)


def _pad(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    below, right = height - picture.shape[0], width - picture.shape[1]
    return cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=GREY)
