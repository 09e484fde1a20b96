"""The daemon that keeps members alive."""
