"""Sweeps: a declared grid, measured in randomised complete blocks, stored and resumed visit by visit."""
