"""Where the time or the memory of a visit goes: profilers of others, in a visit that counts for nothing."""
