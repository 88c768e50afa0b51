"""A video's image folders -> the names and sizes of its frames, x and y matched by name."""

from pathlib import Path

from PIL import Image

from vqe.building.layout import BadFile, BadVideoError, SourceVideo, sort_key

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def index_frames(video: SourceVideo) -> tuple[list[str], list[tuple[int, int]]]:
    """List a video's frames in order with the size in each header.

    Raises:
        BadVideoError: a frame is unreadable, lacks its partner or differs from it in size.
    """
    names = {side: _list_images(video.folder / side) for side in video.sides}
    _check_names(video, names)
    x_sizes, bad = _read_sizes(video.folder / "x", names["x"])
    if "y" in video.sides:
        y_sizes, y_bad = _read_sizes(video.folder / "y", names["x"])
        bad += y_bad
        for name, size, x_size in zip(names["x"], y_sizes, x_sizes, strict=True):
            if size and x_size and size != x_size:
                reason = f"expected {x_size[0]}x{x_size[1]} as in x, got {size[0]}x{size[1]}"
                bad.append(BadFile(video.folder / "y" / name, reason))
    if bad:
        raise BadVideoError(bad)
    return names["x"], x_sizes


def _check_names(video: SourceVideo, names: dict[str, list[str]]) -> None:
    """Check that x/ holds images and each has its partner."""
    if not names["x"]:
        reason = f"expected images ({', '.join(IMAGE_SUFFIXES)}), got none"
        raise BadVideoError([BadFile(video.folder / "x", reason)])
    if "y" not in video.sides:
        return
    bad = []
    for side, other in (("x", "y"), ("y", "x")):
        if missing := sorted(set(names[other]) - set(names[side]), key=sort_key):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            reason = f"expected every image of {other}/, got no {', '.join(missing[:3])}{more}"
            bad.append(BadFile(video.folder / side, reason))
    if bad:
        raise BadVideoError(bad)


def _list_images(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir())
    images = (n for n in names if n.lower().endswith(IMAGE_SUFFIXES) and not n.startswith("."))
    return sorted(images, key=sort_key)


def _read_sizes(
    folder: Path, names: list[str]
) -> tuple[list[tuple[int, int] | None], list[BadFile]]:
    """Read width and height from the headers: None, and a bad file, where that fails."""
    sizes: list[tuple[int, int] | None] = []
    bad = []
    for name in names:
        try:
            with Image.open(folder / name, formats=("JPEG", "PNG")) as image:
                sizes.append(image.size)
        except (OSError, SyntaxError, ValueError) as e:  # all that Pillow's header parsers raise
            reason = f"expected a JPEG or PNG image, got {type(e).__name__} from its header"
            bad.append(BadFile(folder / name, reason))
            sizes.append(None)
    return sizes, bad
