"""The laboratory: workloads, sweeps, statistics, cost model, recommendation, reports."""
