"""Every decision: pure functions and one machine, driven alike by the keeper and by the simulator."""
