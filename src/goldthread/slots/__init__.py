"""Shared memory that holds commits, and the way of a state into it and out of it."""
