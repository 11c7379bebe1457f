// What is done alike to all rows of a matrix (M, C): bandwidth alone. Each number is read and written once.
//
// A thread has PACK neighbours, up to 16 bytes, which it reads and writes at once. Rows are whole packs; there are `size`
// of them.

// x + bias, a number for each column, or none; with `relu` what is below 0 becomes 0.
extern "C" __global__ void finish_rows(T* __restrict__ x, const T* __restrict__ bias, const int relu, const int columns,
                                       const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    Pack<T, PACK> values = packs(x)[i];
    const int column = i * PACK % columns;
#pragma unroll
    for (int j = 0; j < PACK; ++j) {
        const T value = values.at[j] + (bias ? bias[column + j] : T(0));
        values.at[j] = relu && value < 0 ? T(0) : value;
    }
    packs(x)[i] = values;
}

// y = (x - mean) factor + beta; a factor and a beta for each column, beta possibly none. With `relu` what is below 0
// becomes 0.
extern "C" __global__ void normalize_rows(const T* __restrict__ x, const Sum* __restrict__ mean,
                                          const Sum* __restrict__ factor, const T* __restrict__ beta, T* __restrict__ y,
                                          const int relu, const int columns, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    Pack<T, PACK> values = packs(x)[i];
    const int column = i * PACK % columns;
#pragma unroll
    for (int j = 0; j < PACK; ++j) {
        const T shift = beta ? beta[column + j] : T(0);
        const T value = (values.at[j] - mean[column + j]) * factor[column + j] + shift;
        values.at[j] = relu && value < 0 ? T(0) : value;
    }
    packs(y)[i] = values;
}

// dx = factor (dy - drift - pull (x - mean)): the gradient through batch normalization in training.
extern "C" __global__ void normalize_gradients(const T* __restrict__ dy, const T* __restrict__ x,
                                               const Sum* __restrict__ mean, const Sum* __restrict__ found,
                                               T* __restrict__ dx, const int columns, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const Sum *drift = found + 2 * columns, *pull = drift + columns, *factor = pull + columns;
    Pack<T, PACK> slopes = packs(dy)[i];
    const Pack<T, PACK> values = packs(x)[i];
    const int column = i * PACK % columns;
#pragma unroll
    for (int j = 0; j < PACK; ++j) {
        const Sum apart = values.at[j] - mean[column + j];
        slopes.at[j] = factor[column + j] * (slopes.at[j] - drift[column + j] - pull[column + j] * apart);
    }
    packs(dx)[i] = slopes;
}
