// ReLU: bandwidth alone. Each number is read and written once.

extern "C" __global__ void forward(const T* __restrict__ x, T* __restrict__ y, const INDEX size) {
    const INDEX i = thread_number();
    if (i < size) y[i] = x[i] > 0 || x[i] != x[i] ? x[i] : T(0);  // NaN stays
}

extern "C" __global__ void backward(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx, const INDEX size) {
    const INDEX i = thread_number();
    if (i < size) dx[i] = y[i] > 0 ? dy[i] : dy[i] * T(0);
}
