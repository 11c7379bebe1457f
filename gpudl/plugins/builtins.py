"""gpudl's own building blocks, registered through the same hooks as anybody's."""

from __future__ import annotations

from gpudl.hookspecs import Register, hookimpl


@hookimpl
def register_layers(register: Register) -> None:
    from gpudl import layers, models

    register("input", layers.InputLayer)
    register("dense", layers.Dense)
    register("lambda", layers.Lambda)
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
    register("add", layers.Add)
    register("subtract", layers.Subtract)
    register("multiply", layers.Multiply)
    register("average", layers.Average)
    register("maximum", layers.Maximum)
    register("minimum", layers.Minimum)
    register("concatenate", layers.Concatenate)
    register("dot", layers.Dot)
    register("relu", layers.ReLU)
    register("leaky_relu", layers.LeakyReLU)
    register("prelu", layers.PReLU)
    register("elu", layers.ELU)
    register("softmax", layers.Softmax)
    register("identity", layers.Identity)
    register("activity_regularization", layers.ActivityRegularization)
    register("normalization", layers.Normalization)
    register("center_crop", layers.CenterCrop)
    register("resizing", layers.Resizing)
    register("random_brightness", layers.RandomBrightness)
    register("random_contrast", layers.RandomContrast)
    register("random_crop", layers.RandomCrop)
    register("random_flip", layers.RandomFlip)
    register("random_rotation", layers.RandomRotation)
    register("random_translation", layers.RandomTranslation)
    register("random_zoom", layers.RandomZoom)
    register("conv1d", layers.Conv1D)
    register("conv1d_transpose", layers.Conv1DTranspose)
    register("conv2d_transpose", layers.Conv2DTranspose)
    register("depthwise_conv2d", layers.DepthwiseConv2D)
    register("separable_conv2d", layers.SeparableConv2D)
    register("max_pooling1d", layers.MaxPooling1D)
    register("average_pooling1d", layers.AveragePooling1D)
    register("global_average_pooling1d", layers.GlobalAveragePooling1D)
    register("global_max_pooling1d", layers.GlobalMaxPooling1D)
    register("zero_padding1d", layers.ZeroPadding1D)
    register("zero_padding2d", layers.ZeroPadding2D)
    register("cropping1d", layers.Cropping1D)
    register("cropping2d", layers.Cropping2D)
    register("up_sampling1d", layers.UpSampling1D)
    register("up_sampling2d", layers.UpSampling2D)
    register("repeat_vector", layers.RepeatVector)
    register("permute", layers.Permute)
    register("layer_normalization", layers.LayerNormalization)
    register("spatial_dropout1d", layers.SpatialDropout1D)
    register("spatial_dropout2d", layers.SpatialDropout2D)
    register("gaussian_noise", layers.GaussianNoise)
    register("gaussian_dropout", layers.GaussianDropout)
    register("embedding", layers.Embedding)
    register("sequential", models.Sequential)
    register("model", models.Model)


@hookimpl
def register_activations(register: Register) -> None:
    from gpudl import activations

    register("linear", activations.linear)
    register("relu", activations.relu)
    register("sigmoid", activations.sigmoid)
    register("tanh", activations.tanh)
    register("softmax", activations.softmax)
    register("log_softmax", activations.log_softmax)
    register("celu", activations.celu)
    register("elu", activations.elu)
    register("exponential", activations.exponential)
    register("gelu", activations.gelu)
    register("glu", activations.glu)
    register("hard_shrink", activations.hard_shrink)
    register("hard_sigmoid", activations.hard_sigmoid)
    register("hard_silu", activations.hard_silu)
    register("hard_swish", activations.hard_swish)
    register("hard_tanh", activations.hard_tanh)
    register("leaky_relu", activations.leaky_relu)
    register("log_sigmoid", activations.log_sigmoid)
    register("mish", activations.mish)
    register("relu6", activations.relu6)
    register("selu", activations.selu)
    register("silu", activations.silu)
    register("swish", activations.silu)
    register("soft_shrink", activations.soft_shrink)
    register("softplus", activations.softplus)
    register("softsign", activations.softsign)
    register("sparse_plus", activations.sparse_plus)
    register("sparse_sigmoid", activations.sparse_sigmoid)
    register("squareplus", activations.squareplus)
    register("tanh_shrink", activations.tanh_shrink)


@hookimpl
def register_optimizers(register: Register) -> None:
    from gpudl import optimizers

    register("sgd", optimizers.SGD)
    register("rmsprop", optimizers.RMSprop)
    register("adam", optimizers.Adam)
    register("adamw", optimizers.AdamW)
    register("adamax", optimizers.Adamax)
    register("nadam", optimizers.Nadam)
    register("adagrad", optimizers.Adagrad)
    register("adadelta", optimizers.Adadelta)
    register("lion", optimizers.Lion)


@hookimpl
def register_callbacks(register: Register) -> None:
    from gpudl import callbacks

    register("history", callbacks.History)
    register("progress", callbacks.Progress)
    register("terminate_on_nan", callbacks.TerminateOnNaN)
    register("early_stopping", callbacks.EarlyStopping)
    register("model_checkpoint", callbacks.ModelCheckpoint)
    register("reduce_lr_on_plateau", callbacks.ReduceLROnPlateau)
    register("learning_rate_scheduler", callbacks.LearningRateScheduler)
    register("backup_and_restore", callbacks.BackupAndRestore)
    register("csv_logger", callbacks.CSVLogger)
    register("tensorboard", callbacks.TensorBoard)


@hookimpl
def register_losses(register: Register) -> None:
    from gpudl import losses

    register("sparse_categorical_crossentropy", losses.SparseCategoricalCrossentropy)
    register("categorical_crossentropy", losses.CategoricalCrossentropy)
    register("binary_crossentropy", losses.BinaryCrossentropy)
    register("mean_squared_error", losses.MeanSquaredError)
    register("mse", losses.MeanSquaredError)
    register("bce", losses.BinaryCrossentropy)
    register("binary_focal_crossentropy", losses.BinaryFocalCrossentropy)
    register("categorical_focal_crossentropy", losses.CategoricalFocalCrossentropy)
    register("mean_absolute_error", losses.MeanAbsoluteError)
    register("mae", losses.MeanAbsoluteError)
    register("mean_absolute_percentage_error", losses.MeanAbsolutePercentageError)
    register("mape", losses.MeanAbsolutePercentageError)
    register("mean_squared_logarithmic_error", losses.MeanSquaredLogarithmicError)
    register("msle", losses.MeanSquaredLogarithmicError)
    register("huber", losses.Huber)
    register("log_cosh", losses.LogCosh)
    register("logcosh", losses.LogCosh)
    register("cosine_similarity", losses.CosineSimilarity)
    register("hinge", losses.Hinge)
    register("squared_hinge", losses.SquaredHinge)
    register("categorical_hinge", losses.CategoricalHinge)
    register("kl_divergence", losses.KLDivergence)
    register("kld", losses.KLDivergence)
    register("poisson", losses.Poisson)
    register("dice", losses.Dice)
    register("tversky", losses.Tversky)


@hookimpl
def register_metrics(register: Register) -> None:
    from gpudl import metrics

    register("accuracy", metrics.ChosenAccuracy)
    register("acc", metrics.ChosenAccuracy)
    register("exact_accuracy", metrics.Accuracy)
    register("binary_accuracy", metrics.BinaryAccuracy)
    register("categorical_accuracy", metrics.CategoricalAccuracy)
    register("sparse_categorical_accuracy", metrics.SparseCategoricalAccuracy)
    register("sparse_top_k_categorical_accuracy", metrics.SparseTopKCategoricalAccuracy)
    register("top_k_categorical_accuracy", metrics.TopKCategoricalAccuracy)
    register("binary_crossentropy", metrics.BinaryCrossentropy)
    register("bce", metrics.BinaryCrossentropy)
    register("categorical_crossentropy", metrics.CategoricalCrossentropy)
    register("categorical_hinge", metrics.CategoricalHinge)
    register("hinge", metrics.Hinge)
    register("kl_divergence", metrics.KLDivergence)
    register("log_cosh_error", metrics.LogCoshError)
    register("mean_absolute_error", metrics.MeanAbsoluteError)
    register("mae", metrics.MeanAbsoluteError)
    register("mean_absolute_percentage_error", metrics.MeanAbsolutePercentageError)
    register("mape", metrics.MeanAbsolutePercentageError)
    register("mean_squared_error", metrics.MeanSquaredError)
    register("mse", metrics.MeanSquaredError)
    register("mean_squared_logarithmic_error", metrics.MeanSquaredLogarithmicError)
    register("msle", metrics.MeanSquaredLogarithmicError)
    register("poisson", metrics.Poisson)
    register("sparse_categorical_crossentropy", metrics.SparseCategoricalCrossentropy)
    register("squared_hinge", metrics.SquaredHinge)
    register("concordance_correlation", metrics.ConcordanceCorrelation)
    register("cosine_similarity", metrics.CosineSimilarity)
    register("pearson_correlation", metrics.PearsonCorrelation)
    register("r2_score", metrics.R2Score)
    register("root_mean_squared_error", metrics.RootMeanSquaredError)
    register("false_negatives", metrics.FalseNegatives)
    register("false_positives", metrics.FalsePositives)
    register("precision", metrics.Precision)
    register("recall", metrics.Recall)
    register("true_negatives", metrics.TrueNegatives)
    register("true_positives", metrics.TruePositives)
    register("auc", metrics.AUC)
    register("precision_at_recall", metrics.PrecisionAtRecall)
    register("recall_at_precision", metrics.RecallAtPrecision)
    register("sensitivity_at_specificity", metrics.SensitivityAtSpecificity)
    register("specificity_at_sensitivity", metrics.SpecificityAtSensitivity)
    register("f1_score", metrics.F1Score)
    register("f_beta_score", metrics.FBetaScore)
    register("binary_io_u", metrics.BinaryIoU)
    register("confusion_matrix", metrics.ConfusionMatrix)
    register("io_u", metrics.IoU)
    register("mean_io_u", metrics.MeanIoU)
    register("one_hot_io_u", metrics.OneHotIoU)
    register("one_hot_mean_io_u", metrics.OneHotMeanIoU)
    register("mean", metrics.Mean)
    register("sum", metrics.Sum)


@hookimpl
def register_initializers(register: Register) -> None:
    from gpudl import initializers

    register("zeros", initializers.Zeros)
    register("ones", initializers.Ones)
    register("constant", initializers.Constant)
    register("identity", initializers.Identity)
    register("identity_initializer", initializers.Identity)
    register("orthogonal", initializers.Orthogonal)
    register("orthogonal_initializer", initializers.Orthogonal)
    register("random_normal", initializers.RandomNormal)
    register("truncated_normal", initializers.TruncatedNormal)
    register("random_uniform", initializers.RandomUniform)
    register("uniform", initializers.RandomUniform)
    register("normal", initializers.RandomNormal)
    register("one", initializers.Ones)
    register("zero", initializers.Zeros)
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
    register("orthogonal_regularizer", regularizers.OrthogonalRegularizer)


@hookimpl
def register_constraints(register: Register) -> None:
    from gpudl import constraints

    register("max_norm", constraints.MaxNorm)
    register("non_neg", constraints.NonNeg)
    register("unit_norm", constraints.UnitNorm)
    register("min_max_norm", constraints.MinMaxNorm)


@hookimpl
def register_schedules(register: Register) -> None:
    from gpudl import schedules

    register("exponential_decay", schedules.ExponentialDecay)
    register("piecewise_constant_decay", schedules.PiecewiseConstantDecay)
    register("polynomial_decay", schedules.PolynomialDecay)
    register("inverse_time_decay", schedules.InverseTimeDecay)
    register("cosine_decay", schedules.CosineDecay)
    register("cosine_decay_restarts", schedules.CosineDecayRestarts)


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
