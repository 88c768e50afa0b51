"""Runs -> one HTML file that opens from disk: numbers, pictures, curves, and what made them."""
