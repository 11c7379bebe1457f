"""Names as Keras writes them find the names of the registry."""

from __future__ import annotations

import pytest

from gpudl import registry
from gpudl.registry import snake_case


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Dense", "dense"),
        ("Conv2D", "conv2d"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("MaxPooling2D", "max_pooling2d"),
        ("AveragePooling2D", "average_pooling2d"),
        ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ("GlobalMaxPooling2D", "global_max_pooling2d"),
        ("BatchNormalization", "batch_normalization"),
        ("GlorotUniform", "glorot_uniform"),
        ("HeNormal", "he_normal"),
        ("TruncatedNormal", "truncated_normal"),
        ("SGD", "sgd"),
        ("Adam", "adam"),
        ("L2", "l2"),
        ("EarlyStopping", "early_stopping"),
        ("ModelCheckpoint", "model_checkpoint"),
        ("CSVLogger", "csv_logger"),
        ("ReduceLROnPlateau", "reduce_lr_on_plateau"),
        ("LearningRateScheduler", "learning_rate_scheduler"),
        ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
        ("MeanSquaredError", "mean_squared_error"),
    ],
)
def test_snake_case(written: str, name: str) -> None:
    assert snake_case(written) == name


@pytest.mark.parametrize("name", ["relu", "glorot_uniform", "conv2d", "l2", "reduce_lr_on_plateau"])
def test_names_of_the_registry_stay_as_they_are(name: str) -> None:
    assert snake_case(name) == name


@pytest.mark.parametrize("written", ["RMSprop", "ReLU", "AdamW"])
def test_names_that_only_lower_case_finds(written: str) -> None:
    """A look-up tries the name in lower case after its snake case: `rmsprop`, not `rm_sprop`."""
    assert snake_case(written) != written.lower()
    registry._tables["activations"] = {written.lower(): len}
    try:
        assert registry.lookup("activations", written) is len
    finally:
        registry.forget()
