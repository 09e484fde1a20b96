"""Commits that outlive the machine's memory."""
