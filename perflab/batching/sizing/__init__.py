"""How large a batch should be, and how long to wait for it: decided once per flush, from what flushes cost."""
