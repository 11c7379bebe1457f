"""Parts of `python -m bench.gpu_check`: each file is a section, or what sections share."""
