"""Statistics of repeated measurements: pure functions on numbers, no database, no clock.

The unit of replication is the *block*: one visit to every arm of an experiment, in random order. Samples inside one
visit share its cache, its file and its neighbours on the machine, so they say little about the next visit. Intervals
are therefore taken over blocks.

- `intervals`: mean, geometric mean and median with an interval; `Estimate` is the value they return.
- `bootstrap`: resampling of whole blocks.
- `ratio`: two arms compared block by block; `sign_flip` has the test behind it; `tails` compares their percentiles.
- `power`: what so many blocks would find. `looks`: looking while it runs. `families`: several tests at once.
- `selection`: the best of several, without the luck by which it was found. `proportion`: how often something happens.
- `fieller`: the ratio of two means that were measured together.
- `percentiles`: quantiles of latencies, refused where there are too few samples.
- `warmup`: where the steady state begins.
- `regression`: least squares with non-negative coefficients, and tests of its fit.
"""
