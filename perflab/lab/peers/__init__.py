"""perflab's queue and batcher beside others', each in its best documented setting, interleaved in one run."""
