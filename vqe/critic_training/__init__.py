"""Clean footage or rated pairs -> a critic of one's own, a step a file."""

from vqe.critic_training.drawing import Draws
from vqe.critic_training.targets import preference, rate
from vqe.critic_training.versions import Finish, Version, make_version

__all__ = ["Draws", "Finish", "Version", "make_version", "preference", "rate"]
