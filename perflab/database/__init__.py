"""Where and how to send: connections, transactions, round trips, values, schema."""
