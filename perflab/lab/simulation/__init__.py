"""Batches on a virtual clock: the real accumulator and the real policies against a server of known cost."""
