"""Measures the product: how fast it is beside others, and how much it takes."""
