"""What a queue costs: its calls, its workers, its depth, and what a held snapshot does to it."""
