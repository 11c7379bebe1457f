"""gpudl beside PyTorch on the CPU: `python -m bench.cpu`."""
