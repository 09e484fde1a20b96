"""The way of a program's state into a manifest and back."""
