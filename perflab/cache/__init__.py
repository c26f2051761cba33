"""Rows that were read, kept in memory, and read ahead of those who ask: what will be asked next?"""
