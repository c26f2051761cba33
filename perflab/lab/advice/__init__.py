"""Advice on a database: what is slow, what to change, and a measurement that says whether the change helps.

- `statement`, `workload`: the statements that are looked at, and where they come from.
- `table_facts`: what the catalogue says of each table; one file for each engine reads it.
- `plan`: what the engine means to do with a statement; likewise.
- `parse`: which columns a statement compares and sorts by.
- `findings`, `proposals`: what is wrong with that, and what could be done.
- `scratch`: copies to try it on, never the tables themselves; one file for each engine.
- `proof`: before and after, interleaved.
- `advisor`: all of it together; `rendering` shows it.
"""
