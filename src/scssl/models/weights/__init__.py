"""Readers of published checkpoints, one file a format."""
