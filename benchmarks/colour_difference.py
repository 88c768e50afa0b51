"""RGB frames -> CIELAB, CIEDE2000 differences, and how far the hue of skin is off.

Lab is CIE 1976 for sRGB's white, D65. The difference is the CIE's of 2000, as Sharma, Wu and Dalal
write it out ("The CIEDE2000 Color-Difference Formula", 2005), whose numbers the tests take.
"""

import math

import torch
from torch import Tensor

TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750))
TO_XYZ = (*TO_XYZ, (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)
# Chrominance of skin of all tones in 8-bit YCbCr (Chai and Ngan 1999); much wood has it, too
SKIN_CB, SKIN_CR = (77, 127), (133, 173)
LEAST_SKIN = 0.005  # share of a frame's pixels below which there is none


def to_lab(frames: Tensor) -> Tensor:
    """Turn sRGB [...,3,H,W] in [0,1] into L*, a*, b* of the same shape."""
    coded = frames.double()
    linear = torch.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    to_xyz = torch.tensor(TO_XYZ, dtype=linear.dtype) / torch.tensor(WHITE).double()[:, None]
    xyz = torch.einsum("ij,...jhw->...ihw", to_xyz, linear)
    line = xyz * (29 / 6) ** 2 / 3 + 4 / 29
    x, y, z = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-9) ** (1 / 3), line).unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def ciede2000(lab1: Tensor, lab2: Tensor) -> Tensor:
    """Return the difference [...,H,W] of two L*a*b* [...,3,H,W]; 1 is about just noticeable."""
    (l1, a1, b1), (l2, a2, b2) = lab1.unbind(-3), lab2.unbind(-3)
    c7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - (c7 / (c7 + 25.0**7)).sqrt())
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = torch.atan2(b1, a1), torch.atan2(b2, a2)
    grey = c1 * c2 == 0
    turn = torch.remainder(h2 - h1 + math.pi, 2 * math.pi) - math.pi
    turn = torch.where(grey, torch.zeros_like(turn), turn)
    middle = torch.where(grey, h1 + h2, h1 + turn / 2)  # of a grey one the hue is 0
    lightness, chroma = (l1 + l2) / 2 - 50, (c1 + c2) / 2
    t = 1 - 0.17 * torch.cos(middle - math.pi / 6) + 0.24 * torch.cos(2 * middle)
    t = t + 0.32 * torch.cos(3 * middle + math.radians(6))
    t = t - 0.20 * torch.cos(4 * middle - math.radians(63))
    s_l = 1 + 0.015 * lightness**2 / (20 + lightness**2).sqrt()
    degrees = torch.remainder(torch.rad2deg(middle), 360)
    twist = math.radians(60) * torch.exp(-(((degrees - 275) / 25) ** 2))
    rotation = -2 * (chroma**7 / (chroma**7 + 25.0**7)).sqrt() * torch.sin(twist)
    d_l = (l2 - l1) / s_l
    d_c = (c2 - c1) / (1 + 0.045 * chroma)
    d_h = 2 * (c1 * c2).sqrt() * torch.sin(turn / 2) / (1 + 0.015 * chroma * t)
    squared = d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h
    return squared.clamp(min=0).sqrt()


def find_skin(frames: Tensor) -> Tensor:
    """Return where frames [...,3,H,W], RGB in [0,1], have the colour of skin, bool [...,H,W]."""
    r, g, b = (frames * 255).unbind(-3)
    cb = 128 - 0.168736 * r - 0.331264 * g + 0.5 * b
    cr = 128 + 0.5 * r - 0.418688 * g - 0.081312 * b
    return (cb > SKIN_CB[0]) & (cb < SKIN_CB[1]) & (cr > SKIN_CR[0]) & (cr < SKIN_CR[1])


def skin_hue_errors(lab: Tensor, target: Tensor, skin: Tensor) -> Tensor:
    """Return by how many degrees the hue angle of skin is off, for each frame that has skin.

    Args:
        lab: of the frames [B,3,H,W]; noise averages out, as the hue is that of the mean a* and b*.
        target: of the clean frames.
        skin: of the clean frames, bool [B,H,W].
    """
    share = skin.flatten(1).double().mean(1)
    hues = []
    for side in (lab, target):
        a, b = ((plane * skin).flatten(1).sum(1) for plane in side[:, 1:].unbind(1))
        hues.append(torch.rad2deg(torch.atan2(b, a)))
    difference = (torch.remainder(hues[0] - hues[1] + 180, 360) - 180).abs()
    return difference[share >= LEAST_SKIN]
