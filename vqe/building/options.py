"""What a builder does with each video: options that travel to the workers, checked at once."""

from dataclasses import dataclass

SOURCES = ("frames", "video")
FRAME_FORMATS = ("png", "jpg")
VERIFICATIONS = ("all", "first")


@dataclass(frozen=True)
class FrameOptions:
    """How to get at a video's frames.

    Attributes:
        video_fps: frames per second to take from mp4s.
        source: "frames" extracts mp4s, "video" counts their frames and leaves them where they are.
        frame_format: of extracted frames, "png" (lossless) or "jpg".
        jpg_quality: 1 to 100, for "jpg".
        verify: images whose headers are read, where no extraction recorded them: "all", or the
            "first" of each folder, which then stands for the others, and every empty file.

    Raises:
        ValueError: one of them is out of range.
    """

    video_fps: int
    source: str = "frames"
    frame_format: str = "png"
    jpg_quality: int = 95
    verify: str = "all"

    def __post_init__(self) -> None:
        check_count("video_fps", self.video_fps)
        check_choice("source", self.source, SOURCES)
        check_choice("frame_format", self.frame_format, FRAME_FORMATS)
        check_choice("verify", self.verify, VERIFICATIONS)
        check_count("jpg_quality", self.jpg_quality)
        if self.jpg_quality > 100:
            raise ValueError(f"expected data.jpg_quality from 1 to 100, got {self.jpg_quality}")

    @property
    def encoding(self) -> dict[str, str | int]:
        """What decides the bytes of extracted frames, for the record beside them."""
        quality = {"jpg_quality": self.jpg_quality} if self.frame_format == "jpg" else {}
        return {"frame_format": self.frame_format} | quality


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that an option is one of `choices`."""
    if value not in choices:
        raise ValueError(f"expected data.{name} {' or '.join(choices)}, got {value!r}")


def check_count(name: str, value: int) -> None:
    """Check that an option is a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"expected data.{name} to be a whole number above 0, got {value!r}")
