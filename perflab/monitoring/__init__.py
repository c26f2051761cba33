"""What parts do, as metrics: listeners to events, and what shows and keeps what they counted."""
