"""The bulk forms of a Core write: how many rows with the same columns are sent at once.

`parts.py` says what a compiled statement does, `keys.py` brings rows into one order of locks, and one file for each
engine has its forms and chooses between them: `postgresql.py` and `sqlite.py`.
"""
