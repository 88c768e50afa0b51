"""Videos with all that a file may hold beside pictures, and what is found in a file."""

from fractions import Fraction
from hashlib import sha256

import av
import numpy as np
from av.stream import Disposition
from clips import draw_frame

COLOUR_NAMES = ("colorspace", "color_range", "color_primaries", "color_trc")
FONT = b"\x00\x01\x00\x00" + bytes(range(200))
CHAPTERS = [(0, 300, "Greeting"), (300, 900, "Talk")]
# ITU-T H.273: red and blue shares of luma
LUMA_SHARES = {1: (0.2126, 0.0722), 2: (0.299, 0.114), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def make_video(
    path,
    *,
    frames=14,
    times=None,  # ticks at which frames are shown, instead of one each
    time_base=Fraction(1, 25),
    rate=25,
    width=64,
    height=48,
    codec="libx264",
    pix_fmt="yuv420p",
    options=None,
    colour=None,  # matrix, range, primaries, transfer
    pixel_shape=None,
    rotation=None,
    audio=(),  # languages
    audio_frames=30,
    subtitles=(),  # languages
    chapters=False,
    font=False,
    cover=False,
    tags=None,
    planes=None,  # what frames show: arrays a plane
):
    """Encode a video; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        video = container.add_stream(codec, rate=Fraction(rate), options=options or {"crf": "12"})
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        context = video.codec_context
        context.time_base = time_base
        if colour is not None:
            context.colorspace, context.color_range = colour[:2]
            context.color_primaries, context.color_trc = colour[2:]
        if pixel_shape is not None:
            context.sample_aspect_ratio = pixel_shape
        if rotation is not None:
            video.set_display_rotation(rotation)
        sounds = [container.add_stream("aac", rate=16000, layout="mono") for _ in audio]
        for number, (sound, language) in enumerate(zip(sounds, audio, strict=True)):
            sound.metadata["language"] = language
            sound.metadata["title"] = f"Track {number}"
            sound.disposition = Disposition.default if number == 0 else Disposition.comment
        texts = [container.add_mux_stream("subrip") for _ in subtitles]
        for text, language in zip(texts, subtitles, strict=True):
            text.metadata["language"] = language
            text.time_base = Fraction(1, 1000)
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": number,
                        "start": start,
                        "end": end,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for number, (start, end, title) in enumerate(CHAPTERS)
                ]
            )
        if font:
            container.add_attachment("hand.ttf", "application/x-truetype-font", FONT)
        picture = _add_cover(container, path) if cover else None
        container.start_encoding()
        if picture is not None:
            container.mux(picture)
        for text, language in zip(texts, subtitles, strict=True):
            for number in range(2):
                packet = av.Packet(f"{language} line {number}".encode())
                packet.stream, packet.time_base = text, Fraction(1, 1000)
                packet.pts = packet.dts = number * 200
                packet.duration = 150
                container.mux(packet)
        for number in range(len(times) if times is not None else frames):
            frame = _draw(number, width, height, pix_fmt, planes)
            frame.pts = number if times is None else times[number]
            frame.time_base = time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for number, sound in enumerate(sounds):
            _add_tone(container, sound, audio_frames, 9 + number)
    return path


def _draw(number, width, height, pix_fmt, planes):
    if planes is None:
        return av.VideoFrame.from_ndarray(draw_frame(number, width, height), format="bgr24")
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        rows.view(values.dtype)[:, : plane.width] = values
    return frame


def _add_cover(container, path):
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 32, 32, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(draw_frame(0, 32, 32), format="bgr24")
    data = bytes(encoder.encode(frame.reformat(format="yuvj420p"))[0])
    if path.suffix == ".mkv":
        container.add_attachment("cover.jpg", "image/jpeg", data)
        return None
    stream = container.add_mux_stream("mjpeg", width=32, height=32)
    stream.disposition = Disposition.attached_pic
    packet = av.Packet(data)
    packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, 0, 0, True
    return packet


def _add_tone(container, stream, frames, pitch):
    for number in range(frames):
        tone = np.sin(np.arange(1024) / pitch).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, number * 1024, Fraction(1, 16000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def describe_file(path):
    """What a file holds: tags, chapters, and a dict a stream, the video's packets left out."""
    with av.open(str(path)) as container:
        streams = [_describe_stream(stream) for stream in container.streams]
        for packet in container.demux():
            row = streams[packet.stream_index]
            if packet.size and row["kind"] != "video":
                row["packets"].append(sha256(bytes(packet)).hexdigest())
                row["times"].append((packet.pts or 0) * packet.time_base)
        chapters = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"].get("title"))
            for c in container.chapters()
        ]
        return {"tags": dict(container.metadata), "chapters": chapters, "streams": streams}


def _describe_stream(stream):
    context = stream.codec_context
    is_cover = bool(stream.disposition & Disposition.attached_pic)
    return {
        "kind": "cover" if is_cover else stream.type,
        "codec": None if context is None else context.name,
        "language": stream.metadata.get("language"),
        "title": stream.metadata.get("title"),
        "disposition": int(stream.disposition),
        "data": stream.data if stream.type == "attachment" else None,
        "packets": [],
        "times": [],
    }


def read_frames(path):
    """Times in seconds and planes of all frames, as decoded."""
    times, pictures = [], []
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & 1024)
        for frame in container.decode(stream):
            times.append(frame.pts * frame.time_base)
            dtype = np.uint16 if max(c.bits for c in frame.format.components) > 8 else np.uint8
            planes = []
            for plane in frame.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                planes.append(rows.view(dtype)[:, : plane.width].copy())
            pictures.append(planes)
    return times, pictures


def read_tags(path):
    """Matrix, range, primaries, transfer, pixel shape and rotation of the first frame."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        shape = stream.sample_aspect_ratio
        return {
            "colour": tuple(int(getattr(frame, name)) for name in COLOUR_NAMES),
            "shape": Fraction(shape.numerator, shape.denominator) if shape else None,
            "rotation": frame.rotation,
            "pix_fmt": frame.format.name,
            "codec": stream.codec_context.codec.canonical_name,
            "size": (frame.width, frame.height),
        }


def to_rgb(planes, matrix, *, full, bits):
    """Decode YUV samples of one place by ITU-T H.273's formulas: RGB, 0..255, floats."""
    red, blue = LUMA_SHARES[matrix]
    y, u, v = (np.asarray(plane, np.float64) / 2 ** (bits - 8) for plane in planes)
    if full:
        peak = (2**bits - 1) / 2 ** (bits - 8)
        y, u, v = y / peak, (u - 128) / peak, (v - 128) / peak
    else:
        y, u, v = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    r = y + 2 * (1 - red) * v
    b = y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], axis=-1), 0, 1) * 255


def from_rgb(rgb, matrix, *, full, bits):
    """Encode RGB in [0,1] to YUV samples by ITU-T H.273's formulas."""
    red, blue = LUMA_SHARES[matrix]
    r, g, b = np.moveaxis(rgb, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / 2 / (1 - blue), (r - y) / 2 / (1 - red)
    step = 2 ** (bits - 8)
    luma, black, chroma = (
        (2**bits - 1, 0, 2**bits - 1) if full else (219 * step, 16 * step, 224 * step)
    )
    values = y * luma + black, u * chroma + 128 * step, v * chroma + 128 * step
    dtype = np.uint8 if bits == 8 else np.uint16
    return [np.rint(value).clip(0, 2**bits - 1).astype(dtype) for value in values]


def make_patches(matrix, *, full, bits, side=32, chroma=2):
    """Planes of 4x6 flat patches of saturated and muted colours; and a place in each."""
    corners = [(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)]
    muted = np.random.default_rng(3).uniform(0, 1, (16, 3))
    colours = np.array([*corners, *muted], float).reshape(4, 6, 3)
    values = from_rgb(colours, matrix, full=full, bits=bits)
    planes = []
    for number, value in enumerate(values):
        size = side if number == 0 else side // chroma
        planes.append(np.kron(value, np.ones((size, size), value.dtype)))
    return planes, [value.astype(float) for value in values]


def sample_patches(planes, side=32):
    """The middle of each patch in decoded planes."""
    height = planes[0].shape[0]
    samples = []
    for plane in planes:
        step = side * plane.shape[0] // height
        samples.append(plane[step // 2 :: step, step // 2 :: step])
    return samples
