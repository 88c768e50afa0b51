"""The material -> training, gold and trapping pairs: spoilt clips, and some that ask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vqe.subjective.clips import Material, blind_name, describe_clip
from vqe.subjective.study import Clip
from vqe.subjective.votes import GOLD, GRADES, LABELS, REFERENCE, TRAINING, TRAP
from vqe.video import VideoWriter, iter_frames

CRF = 12
SPOILT, SLIGHTLY, ATTENTION = "spoilt", "slightly", "attention"  # in place of a method
OBVIOUS = GRADES[-1]
SPOILT_SHARE, SLIGHT_SIGMA = 12, 90  # of a frame's height: block size, blur's sigma


@dataclass(frozen=True)
class CheckPair:
    """A pair to show that is no rated one, by the names of its clips."""

    kind: str
    content: str
    first: str
    second: str
    expected: float
    clip_first: str
    clip_second: str


class CheckMaker:
    """Make clips of the inputs and pairs of them.

    Args:
        folder: of the study's clips.
        clips: the study's clips by name; those made are added.
        random: draws contents, answers and names.
    """

    def __init__(self, folder: Path, clips: dict[str, Clip], random: np.random.Generator) -> None:
        self.folder = folder
        self.clips = clips
        self.random = random
        self.plain = {c.content: n for n, c in clips.items() if c.method == REFERENCE}

    def make_gold(self, sources: Sequence[Material]) -> list[CheckPair]:
        """Pair each input with a spoilt copy, in both orders."""
        pairs = []
        for source in sources:
            spoilt, plain = self._write(source, SPOILT), self.plain[source.content]
            pairs.append(self._pair(GOLD, source, (REFERENCE, plain), (SPOILT, spoilt), -OBVIOUS))
            pairs.append(self._pair(GOLD, source, (SPOILT, spoilt), (REFERENCE, plain), OBVIOUS))
        return pairs

    def make_traps(self, sources: Sequence[Material], seconds: float) -> list[CheckPair]:
        """Draw an answer into the middle of each input; "the same" is none, it comes too easily."""
        answers = [grade for grade in GRADES if grade]
        drawn = self.random.permutation(answers).tolist()
        pairs = []
        for i, source in enumerate(sources):
            answer = drawn[i % len(drawn)]
            clip = self._write(source, ATTENTION, label=LABELS[answer - GRADES[0]], seconds=seconds)
            first = (REFERENCE, self.plain[source.content])
            pairs.append(self._pair(TRAP, source, first, (ATTENTION, clip), answer))
        return pairs

    def make_training(self, source: Material) -> list[CheckPair]:
        """Show the scale: far worse, a little better, no difference."""
        plain = (REFERENCE, self.plain[source.content])
        spoilt = (SPOILT, self._write(source, SPOILT))
        slight = (SLIGHTLY, self._write(source, SLIGHTLY))
        shown = [(plain, spoilt), (slight, plain), (plain, plain), (spoilt, slight)]
        return [self._pair(TRAINING, source, *pair, np.nan) for pair in shown]

    def _pair(
        self, kind: str, source: Material, first: tuple, second: tuple, expected: float
    ) -> CheckPair:
        (name, clip), (other, other_clip) = first, second
        return CheckPair(kind, source.content, name, other, float(expected), clip, other_clip)

    def _write(self, source: Material, method: str, label: str = "", seconds: float = 0) -> str:
        name = blind_name(self.random, ".mp4")
        frames = iter_frames(source.path, None)
        if method == ATTENTION:
            frames = _ask_in_the_middle(frames, source, label, round(seconds * float(source.fps)))
        elif method == SPOILT:
            frames = map(spoil, frames)
        else:
            frames = map(spoil_slightly, frames)
        with VideoWriter(self.folder / name, fps=source.fps, crf=CRF) as writer:
            for frame in frames:
                writer.write(frame)
        self.clips[name] = describe_clip(source, method, writer.frames)
        return name


def spoil(frame: np.ndarray) -> np.ndarray:
    """Make a frame, uint8 BGR [H,W,3], obviously bad: coarse blocks, dark, pale."""
    height, width = frame.shape[:2]
    side = max(2, height // SPOILT_SHARE)
    small = cv2.resize(frame, (max(1, width // side), max(1, height // side)))
    blocks = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    grey = blocks.mean(axis=2, keepdims=True)
    return (0.4 * (0.4 * blocks + 0.6 * grey)).astype(np.uint8)


def spoil_slightly(frame: np.ndarray) -> np.ndarray:
    """Blur a frame, uint8 BGR [H,W,3], so that one has to look."""
    return cv2.GaussianBlur(frame, (0, 0), max(0.8, frame.shape[0] / SLIGHT_SIGMA / 4))


def draw_request(label: str, height: int, width: int) -> np.ndarray:
    """Draw a picture, uint8 BGR [H,W,3], that asks for an answer."""
    picture = np.full((height, width, 3), 48, np.uint8)
    lines = ("Attention check:", "please choose", f'"{label}"')
    font = cv2.FONT_HERSHEY_SIMPLEX
    wide = max(cv2.getTextSize(line, font, 1.0, 2)[0][0] for line in lines)
    scale = min(0.9 * width / wide, height / 5 / 30)
    for i, line in enumerate(lines):
        across = cv2.getTextSize(line, font, scale, 2)[0][0]
        place = (round((width - across) / 2), round(height * (0.32 + 0.2 * i)))
        cv2.putText(
            picture, line, place, font, scale, (255, 255, 255), 2 if scale > 0.6 else 1, cv2.LINE_AA
        )
    return picture


def _ask_in_the_middle(
    frames: Iterator[np.ndarray], source: Material, label: str, asked: int
) -> Iterator[np.ndarray]:
    for number, frame in enumerate(frames):
        if number == source.frames // 2:
            request = draw_request(label, *frame.shape[:2])
            yield from (request for _ in range(max(asked, 1)))
        yield frame
