"""A video's other streams, tags and chapters -> the same in another file, packet by packet."""

import io
import logging
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vqe.video.pyav import open_container, read_fraction

log = logging.getLogger(__name__)

# written by whoever encodes; wrong for another encoding
STALE_TAGS = ("encoder", "bps", "number_of_", "duration", "_statistics", "rotate", "vendor_id")
CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
MP4_TAGS = frozenset(  # those that mp4 has a name for
    {
        *("title", "artist", "album_artist", "album", "composer", "comment", "date", "year"),
        *("genre", "copyright", "description", "synopsis", "show", "episode_id", "network"),
        *("keywords", "lyrics", "grouping", "track", "disc", "creation_time", "season_number"),
        *("episode_sort", "media_type", "hd_video", "gapless_playback", "compilation"),
    }
)
MKV = "matroska"
COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


class OtherStreams:
    """Copy what is not the enhanced video.

    Args:
        source: the file as it was.
        video: its stream that is enhanced.
        start: seconds that are cut off the beginning, from the start of the file.
        end: where the copy ends, None for the end.

    Attributes:
        lost: what the target cannot hold, in words.
    """

    def __init__(
        self,
        source: InputContainer,
        video: VideoStream,
        *,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
    ) -> None:
        self.source = source
        self.video = video
        self.lost: list[str] = []
        origin = Fraction(source.start_time or 0, av.time_base)
        self._start = start and origin + start
        self._end = None if end is None else origin + end
        self._shift = start
        self._copied: dict[int, Stream] = {}
        self.last = Fraction(0)  # seconds, when the last packet so far ended

    def add_to(self, target: OutputContainer) -> None:
        """Add tags, chapters and streams; call it after the enhanced stream was added."""
        tags = self.source.metadata.items()
        target.metadata.update({k: v for k, v in tags if k.lower() not in CONTAINER_TAGS})
        target.set_chapters(self._cut_chapters())
        for stream in self.source.streams:
            if stream.index != self.video.index and not self._comes_anew(stream):
                self._add(stream, target)

    def packets(self) -> Iterator[av.Packet]:
        """Yield the packets of all copied streams, in the order of the file."""
        streams = [s for s in self.source.streams if s.index in self._copied]
        if not streams:
            return
        for packet in self.source.demux(streams):
            if packet.size == 0 or not self._is_wanted(packet):
                continue
            if packet.pts is not None:
                ticks = packet.pts + (packet.duration or 0)
                self.last = max(self.last, ticks * read_fraction(packet.time_base))
            self.redirect(packet)
            yield packet

    def redirect(self, packet: av.Packet) -> bool:
        """Let a packet go to the copy of its stream; return whether there is one."""
        copy = self._copied.get(packet.stream_index)
        if copy is None:
            return False
        packet.stream = copy
        return True

    def _is_wanted(self, packet: av.Packet) -> bool:
        """Whether a packet lies in the cut; moves it there."""
        if not self._start and self._end is None:
            return True
        time_base = read_fraction(packet.time_base)
        time = packet.dts if packet.pts is None else packet.pts
        is_cover = packet.stream.disposition & Disposition.attached_pic
        if time is None or is_cover:
            return True
        if time * time_base < self._start or (self._end and time * time_base >= self._end):
            return False
        ticks = round(self._shift / time_base)
        packet.pts = None if packet.pts is None else packet.pts - ticks
        packet.dts = None if packet.dts is None else packet.dts - ticks
        return True

    def _add(self, stream: Stream, target: OutputContainer) -> None:
        cover = stream.type == "video" and stream.disposition & Disposition.attached_pic
        if cover and target.format.name == MKV:
            self._attach_cover(stream, target)
            return
        if not is_held(stream, target.format.name):
            self.lost.append(describe(stream) + ("; mkv can" if is_held(stream, MKV) else ""))
            return
        copy = target.add_stream_from_template(stream, opaque=True)
        if stream.type == "attachment":  # all of it is in the header
            return
        copy.metadata.update(stream.metadata)
        copy.disposition = stream.disposition
        self._copied[stream.index] = copy

    def _attach_cover(self, stream: Stream, target: OutputContainer) -> None:
        """Matroska keeps covers among its attachments."""
        with open_container(self.source.name) as again:
            data = bytes(next(again.demux(again.streams[stream.index])))
        name, kind = COVERS.get(stream.codec_context.name, (None, None))
        if name is None:
            self.lost.append(describe(stream))
            return
        target.add_attachment(stream.metadata.get("filename", name), kind, data)

    def _comes_anew(self, stream: Stream) -> bool:
        """Whether it is mp4's track of chapter names or a time code: both come with the tags."""
        if stream.type != "data":
            return False
        named = stream.name == "bin_data" and bool(self.source.chapters())
        return named or "timecode" in stream.metadata

    def _cut_chapters(self) -> list[dict]:
        chapters = []
        for chapter in self.source.chapters():
            time_base = read_fraction(chapter["time_base"])
            low, high = self._start / time_base, (self._end or 10**12) / time_base
            shift = round(self._shift / time_base)
            start, end = max(chapter["start"], round(low)), min(chapter["end"], round(high))
            if start < end or not self._shift:
                chapters.append(chapter | {"start": start - shift, "end": end - shift})
        return chapters


def keep_video_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return a video stream's tags without those that another encoding makes wrong."""
    return {k: v for k, v in tags.items() if not k.lower().startswith(STALE_TAGS)}


def needs_free_tags(tags: dict[str, str]) -> bool:
    """Whether a container of the mp4 family would drop some of the tags."""
    return any(k.lower() not in MP4_TAGS and k.lower() not in CONTAINER_TAGS for k in tags)


def is_held(stream: Stream, container: str) -> bool:
    """Whether a container can hold a stream as it is: tried on a file in memory."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (ValueError, TypeError, av.error.FFmpegError):
        return False
    return True


def describe(stream: Stream) -> str:
    """Name a stream for a person."""
    context = stream.codec_context
    codec = context.name if context is not None else stream.metadata.get("mimetype", "")
    named = [stream.type, codec, stream.metadata.get("language"), stream.metadata.get("title")]
    return f"stream {stream.index} (" + " ".join(part for part in named if part) + ")"
