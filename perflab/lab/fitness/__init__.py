"""Is this machine fit to measure? A look at the machine, the installation and the engines, which changes nothing."""
