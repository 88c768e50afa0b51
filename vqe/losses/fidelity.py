"""Enhanced frames and targets -> distances: squares, roots, Charbonnier, SSIM, colour, flicker.

They look at the frames with a target alone; without any they are zero, and so is their gradient.
"""

import torch

from vqe.losses.errors import squared_error
from vqe.losses.step import LossTerm, Step
from vqe.losses.windows import window_means

SSIM_K1, SSIM_K2 = 0.01, 0.03  # the paper's, for a range of 1
ROUND_OFF = 1e-12  # keeps the gradient of a root finite at zero


class SupervisedMSE(LossTerm):
    """Mean squared error to the target in challenge range."""

    is_fidelity = True

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar over the frames with a target."""
        error_b = squared_error(step.enhanced, step.y) * step.has_target
        return error_b.sum() / step.has_target.sum().clamp(min=1)


class SupervisedRMSE(LossTerm):
    """Root of each frame's mean squared error to the target in challenge range, then the mean.

    What the leaderboard counts. A frame that is little off pulls as hard as one that is far off,
    where the square leaves it alone.
    """

    is_fidelity = True

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar over the frames with a target."""
        squared_b = squared_error(step.enhanced, step.y)
        error_b = ((squared_b + ROUND_OFF).sqrt() - ROUND_OFF**0.5) * step.has_target
        return error_b.sum() / step.has_target.sum().clamp(min=1)


class Harm(LossTerm):
    """By how much a frame's root mean squared error exceeds its input's, in challenge range.

    Zero wherever the network is of any help. A good picture is easily made worse: here that
    counts on top of the error itself, where a guess that helps on average would pay off.
    """

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar over the frames with a target."""
        after, before = (
            (squared_error(frames, step.y) + ROUND_OFF).sqrt() for frames in (step.enhanced, step.x)
        )
        harm_b = (after - before).clamp(min=0) * step.has_target
        return harm_b.sum() / step.has_target.sum().clamp(min=1)


class Detail(LossTerm):
    """Root mean square of each frame's error less its local mean, in [0,1], then the mean.

    What is left is noise, blocks and blur. Light that is guessed wrong is a larger error by far,
    and one that no texture can mend: beside it, the pull on textures is lost in the noise.
    """

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar over the frames with a target."""
        return step.mean_over_targets(self._measure)

    def _measure(self, enhanced: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        error = enhanced - y
        fine = error - window_means(error)[0]
        return (fine.square().mean((1, 2, 3)) + ROUND_OFF).sqrt().mean()


class Charbonnier(LossTerm):
    """Mean of sqrt(error^2 + epsilon^2): an absolute error that is smooth at zero.

    W.-S. Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution",
    CVPR 2017.

    Args:
        epsilon: error in [0,1] below which the term is flat.
    """

    is_fidelity = True

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar, `epsilon` at best."""
        return step.mean_over_targets(lambda a, b: _charbonnier(a - b, self.epsilon))


class SSIM(LossTerm):
    """1 - SSIM, per colour channel, over Gaussian windows of sigma 1.5.

    Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
    IEEE TIP 2004.
    """

    is_fidelity = True

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar in [0,2]."""
        return step.mean_over_targets(lambda a, b: 1 - _ssim(a, b))


class ColourAngle(LossTerm):
    """Mean angle in radians between the RGB vectors of enhanced frame and target.

    R. Wang et al., "Underexposed Photo Enhancement Using Deep Illumination Estimation", CVPR 2019.
    It sees hue and saturation and is blind to brightness, hence no anchor.

    Args:
        floor: added to each channel, in [0,1]: black counts as grey, and its noise for little.
    """

    def __init__(self, floor: float = 1 / 255) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar in [0,pi/2]."""
        return step.mean_over_targets(self._measure)

    def _measure(self, enhanced: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a, b = (frames.clamp(min=0) + self.floor for frames in (enhanced, y))
        # arccos of the cosine has no gradient at equal colours: atan2 of sine and cosine has
        across = torch.linalg.cross(a, b, dim=1).square().sum(1)
        sine = (across + ROUND_OFF).sqrt() - ROUND_OFF**0.5
        return torch.atan2(sine, (a * b).sum(1)).mean()


class TemporalDifference(LossTerm):
    """Charbonnier distance of the enhanced clip's frame differences to the target's: flicker.

    What moves in the target may move: no optical flow is needed. Single frames give zero.

    Args:
        epsilon: difference in [0,1] below which the term is flat.
    """

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, step: Step) -> torch.Tensor:
        """Return a scalar over consecutive frames that both have a target."""
        if step.clip_length < 2:
            return step.zero()
        length = (-1, step.clip_length)
        has_target = step.has_target.unflatten(0, length)
        both = has_target[:, 1:] & has_target[:, :-1]
        if not both.any():
            return step.zero()
        error = (step.enhanced.float() - step.y.float()).unflatten(0, length).diff(dim=1)
        return _charbonnier(error[both], self.epsilon)


def _charbonnier(error: torch.Tensor, epsilon: float) -> torch.Tensor:
    return (error.square() + epsilon**2).sqrt().mean()


def _ssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean structural similarity of frames in [0,1], both float32 [N,3,H,W]."""
    mean_a, mean_b, square_a, square_b, product = window_means(a, b, a * a, b * b, a * b)
    variances = (square_a - mean_a**2).clamp(min=0) + (square_b - mean_b**2).clamp(min=0)
    covariance = product - mean_a * mean_b
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (light * (2 * covariance + c2) / (variances + c2)).mean()
