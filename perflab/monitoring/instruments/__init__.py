"""Instruments: one module for the events of one part. Each declares its metrics beside the code that counts them."""
