"""Lease stores: registers with compare-and-swap that several hosts can reach, behind one contract."""
