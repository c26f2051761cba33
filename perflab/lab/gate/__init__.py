"""The regression gate and the history: what changed between runs, and whether that can be said at all."""
