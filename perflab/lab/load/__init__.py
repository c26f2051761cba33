"""Load from processes of its own: schedules made beforehand, and what came of each arrival.

Start reading at `run.py`, then `generator.py`.
"""
