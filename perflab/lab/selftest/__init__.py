"""The procedure of measuring, measured: what it says of an arm against itself, and of a known difference."""
