"""Parameterised notebooks as reports: check the parameters, run with papermill, render one self-contained HTML page."""
