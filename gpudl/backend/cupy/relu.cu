// ReLU: bandwidth alone. Each number is read and written once, PACK of them by each thread, at once.

extern "C" __global__ void forward(const T* __restrict__ x, T* __restrict__ y, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    Pack<T, PACK> values = packs(x)[i];
#pragma unroll
    for (int j = 0; j < PACK; ++j)
        if (!(values.at[j] > 0 || values.at[j] != values.at[j])) values.at[j] = 0;  // NaN stays
    packs(y)[i] = values;
}

extern "C" __global__ void backward(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    Pack<T, PACK> slopes = packs(dy)[i];
    const Pack<T, PACK> values = packs(y)[i];
#pragma unroll
    for (int j = 0; j < PACK; ++j)
        if (values.at[j] <= 0) slopes.at[j] = 0;  // NaN lets pass, as in PyTorch
    packs(dx)[i] = slopes;
}
