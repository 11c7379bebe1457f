"""gpudl's own building blocks, registered through the same hooks as anybody's."""

from __future__ import annotations

from gpudl.hookspecs import Register, hookimpl


@hookimpl
def register_layers(register: Register) -> None:
    from gpudl import layers, models

    register("input", layers.InputLayer)
    register("dense", layers.Dense)
    register("conv2d", layers.Conv2D)
    register("max_pooling2d", layers.MaxPooling2D)
    register("average_pooling2d", layers.AveragePooling2D)
    register("global_average_pooling2d", layers.GlobalAveragePooling2D)
    register("global_max_pooling2d", layers.GlobalMaxPooling2D)
    register("flatten", layers.Flatten)
    register("reshape", layers.Reshape)
    register("dropout", layers.Dropout)
    register("batch_normalization", layers.BatchNormalization)
    register("activation", layers.Activation)
    register("rescaling", layers.Rescaling)
    register("sequential", models.Sequential)


@hookimpl
def register_activations(register: Register) -> None:
    from gpudl import activations

    for name in ("linear", "relu", "sigmoid", "tanh", "softmax", "log_softmax"):
        register(name, getattr(activations, name))


@hookimpl
def register_optimizers(register: Register) -> None:
    from gpudl import optimizers

    register("sgd", optimizers.SGD)
    register("rmsprop", optimizers.RMSprop)
    register("adam", optimizers.Adam)


@hookimpl
def register_callbacks(register: Register) -> None:
    from gpudl import callbacks

    register("history", callbacks.History)
    register("progress", callbacks.Progress)
    register("terminate_on_nan", callbacks.TerminateOnNaN)


@hookimpl
def register_losses(register: Register) -> None:
    from gpudl import losses

    register("sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy)
    register("categorical_crossentropy", losses.CategoricalCrossentropy)
    register("binary_crossentropy", losses.BinaryCrossentropy)
    register("mean_squared_error", losses.MeanSquaredError)
    register("mse", losses.MeanSquaredError)


@hookimpl
def register_metrics(register: Register) -> None:
    from gpudl import metrics

    register("accuracy", metrics.Accuracy)
    register("acc", metrics.Accuracy)
    register("binary_accuracy", metrics.BinaryAccuracy)
    register("categorical_accuracy", metrics.CategoricalAccuracy)
    register("sparse_categorical_accuracy", metrics.SparseCategoricalAccuracy)
    register("mean_squared_error", metrics.MeanSquaredError)
    register("mse", metrics.MeanSquaredError)


@hookimpl
def register_initializers(register: Register) -> None:
    from gpudl import initializers

    register("zeros", initializers.Zeros)
    register("ones", initializers.Ones)
    register("constant", initializers.Constant)
    register("random_normal", initializers.RandomNormal)
    register("truncated_normal", initializers.TruncatedNormal)
    register("random_uniform", initializers.RandomUniform)
    register("variance_scaling", initializers.VarianceScaling)
    register("glorot_uniform", initializers.GlorotUniform)
    register("glorot_normal", initializers.GlorotNormal)
    register("he_uniform", initializers.HeUniform)
    register("he_normal", initializers.HeNormal)
    register("lecun_uniform", initializers.LecunUniform)
    register("lecun_normal", initializers.LecunNormal)


@hookimpl
def register_regularizers(register: Register) -> None:
    from gpudl import regularizers

    register("l1", regularizers.L1)
    register("l2", regularizers.L2)
    register("l1_l2", regularizers.L1L2)
    register("l1l2", regularizers.L1L2)


@hookimpl
def register_schedules(register: Register) -> None:
    from gpudl import schedules

    register("exponential_decay", schedules.ExponentialDecay)
    register("cosine_decay", schedules.CosineDecay)


@hookimpl
def register_datasets(register: Register) -> None:
    from gpudl import datasets

    register("digits", datasets.Digits)
    register("mnist", datasets.Mnist)
    register("fashion_mnist", datasets.FashionMnist)
    register("csv", datasets.Csv)
    register("npz", datasets.Npz)


@hookimpl
def register_commands(register: Register) -> None:
    """gpudl's own commands are not registered: `cli` sits above and adds them itself, so that `--help` stays quick."""
