"""A test on a GPU with both critics: the inputs scored anew, or before; and without critics."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from golden_weights import golden_state

LANES, WORKERS, BATCH = 4, 8, 32
RunTest = Callable[..., dict[str, object]]  # a case's name, how many lanes, overrides


def write_critics(folder: Path) -> tuple[str, ...]:
    """Write both critics' weights, as large as the challenge's; return what names them."""
    paths = {name: folder / f"{name}.pth" for name in ("vqa", "dover")}
    for name, path in paths.items():
        torch.save(golden_state(name), path)
    return tuple(f"model_{name}.weights='{path}'" for name, path in paths.items())


def list_cases(folder: Path) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return lanes and overrides of each case; the first one also builds what is built once."""
    critics, cache = write_critics(folder), f"score_cache='{folder / 'kept'}'"
    return {
        "kept_written": (LANES, (*critics, cache)),
        "critics": (LANES, critics),
        "without_critics": (LANES, ("only_videos=true",)),
        "kept": (LANES, (*critics, cache)),
        "gpu_decoder": (LANES, ("only_videos=true", "dataset.decoder=cuda")),
        "before": (1, critics),
    }


def measure_on_gpu(run: RunTest, folder: Path, path: Path | None) -> dict[str, object]:
    """Run all cases, and write what is known after each, should there be no time for the next.

    Returns:
        Frames a second of each case, and all figures of its stages.
    """
    found: dict[str, object] = {"eval_batch_size": BATCH}
    for name, (lanes, overrides) in list_cases(folder).items():
        facts = run(name, lanes, f"dataloader.eval_batch_size={BATCH}", "trainer=gpu", *overrides)
        print(f"{name:20} {facts['frames_per_second']:.1f} frames/s", flush=True)
        found |= {f"{name}_fps": facts["frames_per_second"], f"{name}_stages": facts}
        if name == "critics":
            speeds = [stage["frames_per_second"] for stage in facts["stages"].values()]
            found |= {
                "frames_per_second": facts["frames_per_second"],
                "slowest_stage_fps": min(speeds),
            }
        if path is not None:
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found
