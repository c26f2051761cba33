"""What a tick of the scheduler costs, against the number of watches that are due."""
