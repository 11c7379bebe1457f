"""Why some work falls short of its goal on the CPU; see __main__.py."""
