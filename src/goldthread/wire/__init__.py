"""Bytes and what they mean: pure functions, no I/O."""
