"""The keeper's own rules in a pretended world, so that years of faults pass in seconds."""
