"""The experiment file: read, checked, assembled, run."""
