"""Clean footage or rated pairs -> your own critic, one step a file."""

from vqe.critic_training.targets import preference, rate
from vqe.critic_training.variant_sampler import VariantSampler
from vqe.critic_training.variants import PostEdit, Variant, make_variant

__all__ = ["PostEdit", "Variant", "VariantSampler", "make_variant", "preference", "rate"]
