"""What a history of runs would tell of a change: benches again and again, around changes whose places are known."""
