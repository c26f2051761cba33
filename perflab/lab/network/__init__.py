"""A network between a client and its database, inside one machine: latency as an axis of the laboratory, and faults.

`Proxy` forwards TCP and Unix-socket connections over a `Link` (round trip, jitter, bandwidth), measures what that
really adds, and can stall, reset, cut, refuse, or lose a reply. `ProxyProcess` is one without faults in a process of
its own, for measurements. `PostgresMeter` counts the messages of PostgreSQL as they pass.
"""
