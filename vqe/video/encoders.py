"""What a video is and what is asked for -> the encoder, its options and pixel format."""

from collections.abc import Mapping
from fractions import Fraction

import av
import av.codec
from av.codec.codec import UnknownCodecError

from vqe.video.facts import VideoFacts
from vqe.video.planes import choose_output_colour
from vqe.video.segment_encoder import EncoderSettings

CONTAINERS = {  # suffix -> FFmpeg's muxer
    "mp4": "mp4",
    "m4v": "mp4",
    "mov": "mov",
    "mkv": "matroska",
    "webm": "webm",
    "ts": "mpegts",
    "nut": "nut",
    "y4m": "yuv4mpegpipe",
}
# Near transparent, each by its own scale; the names of the option differ too.
QUALITY = {
    "libx264": ("crf", 18),
    "libx265": ("crf", 20),
    "libvpx-vp9": ("crf", 24),
    "libsvtav1": ("crf", 24),
    "nvenc": ("cq", 20),
    "qsv": ("global_quality", 20),
    "amf": ("qp_i", 20),
}
# options that set the quality by hand: no default beside them
BY_HAND = frozenset({"crf", "qp", "cq", "b", "global_quality", "qp_i"})
FIXED = {  # what else an encoder needs to be good
    "libx265": {"x265-params": "log-level=error"},
    "libvpx-vp9": {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "3"},
    "nvenc": {"rc": "vbr"},
    "prores_ks": {"profile": "hq"},
}


def choose_encoder(
    facts: VideoFacts,
    *,
    container: str,
    time_base: Fraction,
    rate: Fraction,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
    options: Mapping[str, object] | None = None,
) -> EncoderSettings:
    """Decide how a video is encoded.

    Args:
        facts: of the source.
        container: a key of `CONTAINERS`, or another muxer of FFmpeg.
        time_base: of the frames.
        rate: average frames per second.
        codec: FFmpeg's name of an encoder; None: H.264, HEVC for more than eight bits, VP9 in
            webm, ProRes for ProRes.
        crf: constant quality, smaller is better, by the encoder's own scale; None: near
            transparent.
        preset: the encoder's own, None for its default.
        pix_fmt: None: 4:2:0 of the source's depth, 4:4:4 where width or height is odd and the
            encoder wants them even.
        options: the encoder's own, by name.

    Raises:
        ValueError: there is no such encoder, or it does not fit.
    """
    codec = codec or _default_codec(facts, container)
    try:
        encoder = av.codec.Codec(codec, "w")
    except UnknownCodecError as error:
        raise ValueError(f"expected a video encoder that FFmpeg has, got codec={codec}") from error
    pix_fmt = pix_fmt or _choose_pix_fmt(facts, codec, encoder)
    _check_pix_fmt(facts, codec, encoder, pix_fmt)
    colour = choose_output_colour(facts)
    family = codec.rpartition("_")[2] if codec not in FIXED and codec not in QUALITY else codec
    asked = {name: str(value) for name, value in (options or {}).items()}
    chosen = dict(FIXED.get(family, {}))
    if family in QUALITY and not BY_HAND & asked.keys():
        name, default = QUALITY[family]
        chosen[name] = f"{default if crf is None else crf:g}"
    elif crf is not None:
        raise ValueError(
            f"expected crf=null for codec={codec} with encoder={asked}, got crf={crf:g}"
        )
    if preset is not None:
        chosen["preset"] = str(preset)
    chosen |= asked
    output = av.open(_Nowhere(), "w", format=CONTAINERS.get(container, container))
    try:
        output.add_stream(codec)
    except ValueError as error:
        raise ValueError(
            f"expected a codec that {container} holds, got {codec}. Set container=mkv"
        ) from error
    global_header = bool(output.format.flags & av.format.Flags.global_header.value)
    return EncoderSettings(
        codec=codec,
        options=chosen,
        pix_fmt=pix_fmt,
        width=facts.width,
        height=facts.height,
        time_base=str(time_base),
        rate=str(rate),
        colour=(colour.matrix, colour.range, colour.primaries, colour.transfer),
        pixel_shape=None if facts.pixel_shape is None else str(facts.pixel_shape),
        global_header=global_header,
    )


class _Nowhere:
    """A file whose content is dropped."""

    def write(self, data: bytes) -> int:
        return len(data)


def _default_codec(facts: VideoFacts, container: str) -> str:
    if container == "y4m":
        return "rawvideo"
    if container == "webm":
        return "libvpx-vp9"
    if facts.codec == "prores" and container in ("mov", "mkv"):
        return "prores_ks"
    return "libx265" if facts.deep else "libx264"


def _choose_pix_fmt(facts: VideoFacts, codec: str, encoder: av.codec.Codec) -> str:
    """Choose what plays most widely among the formats of the source's depth."""
    there = [f.name for f in encoder.video_formats or ()]
    odd = facts.width % 2 or facts.height % 2
    chroma = ["yuv420p", "nv12", "yuv422p", "yuv444p"]
    if codec == "prores_ks":
        chroma = ["yuv444p"] if facts.width % 2 else ["yuv422p", "yuv444p"]
    elif odd and codec != "libvpx-vp9":  # which holds odd sizes in 4:2:0
        chroma = ["yuv444p"]
    depths = ["", "10le"] if facts.bits <= 8 else ["10le", ""]
    if facts.bits > 10:
        depths = ["12le", *depths]
    names = [{"nv1210le": "p010le"}.get(c + d, c + d) for d in depths for c in chroma]
    found = next((name for name in names if not there or name in there), None)
    if found is None:
        raise ValueError(
            f"expected pix_fmt for codec={codec} and {facts.width}x{facts.height} of "
            f"{facts.pix_fmt}, got none that fits. It takes {', '.join(there) or 'any'}"
        )
    return found


def _check_pix_fmt(facts: VideoFacts, codec: str, encoder: av.codec.Codec, pix_fmt: str) -> None:
    there = [f.name for f in encoder.video_formats or ()]
    if there and pix_fmt not in there:
        raise ValueError(f"expected pix_fmt of {', '.join(there)} for {codec}, got {pix_fmt}")
    halved = ("420" in pix_fmt and facts.height % 2) or (
        pix_fmt.startswith(("yuv420", "yuv422", "nv12", "p010")) and facts.width % 2
    )
    if halved and codec in ("libx264", "libx265", "libsvtav1", "prores_ks"):
        raise ValueError(
            f"expected even width and height for {codec} in {pix_fmt}, got "
            f"{facts.width}x{facts.height}. Set pix_fmt=yuv444p, or codec=libvpx-vp9"
        )
