"""Keras 3's files: `.weights.h5` (weights alone) and `.keras` (a zip of the architecture and a weights file).

layout.py    which layer's weights stand where in a weights file
hdf5.py      a weights file's arrays, read and written; h5py is used here only
fitting.py   stored arrays brought into a model, or told apart from it
config.py    Keras's configurations and gpudl's descriptions, turned into each other
optimizer.py an optimizer's slots in Keras's order
archive.py   the `.keras` file itself
"""
