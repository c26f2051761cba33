"""Workloads: when each operation is meant to arrive, from a real trace or from a seeded generator.

Import from the modules: `flights` and `datasets` need only the standard library, the others need NumPy.
"""
