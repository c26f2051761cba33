"""The lab on several machines, over a Dask scheduler: start reading at `cluster.py`."""
