"""Secrets: where they come from, and whom they are for."""
