"""CUDA kernels, launched through CuPy. `<stem>.py` has the same functions as `backend/numpy/<stem>.py`."""
