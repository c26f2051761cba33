"""Batchers of several processes on one database: settings, a cap on flushes in flight, and metrics that they share.

A layer over the batcher, which does not know it: settings come through the sizing, the cap through the gate.
"""
