"""Real footage of published packages -> the whole chain, a step after the other."""
