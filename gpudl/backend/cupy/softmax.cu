// Softmax and the cross-entropies after it, on rows (M, K): a warp for each row, which it reads from the cache after the
// first time. So a loss is one launch and its gradient another, where operations on whole arrays would take ten.
//
// Rows that cannot be probabilities give NaN, as on the CPU; so does a label that is no class.

constexpr int ROWS_OF_BLOCK = 8;
constexpr double CLIP = 1e-7;  // Keras's: probabilities are kept within [CLIP, 1 - CLIP] before the logarithm

__device__ __forceinline__ int row_of_warp() { return blockIdx.x * ROWS_OF_BLOCK + threadIdx.x / WARP; }

__device__ __forceinline__ T clipped(T share) {
    const T least = T(CLIP), most = T(1 - CLIP);
    return share < least ? least : share > most ? most : share;  // NaN stays
}

// What softmax divides a row by, and the largest number, which is taken off first so that nothing overflows.
struct Scale {
    T largest;
    Sum total;
};

__device__ __forceinline__ Scale scale_of(const T* x, int columns) {
    const int lane = threadIdx.x % WARP;
    T largest = x[0];
    for (int k = lane; k < columns; k += WARP) largest = x[k] > largest ? x[k] : largest;
    for (int other = WARP / 2; other > 0; other /= 2) {
        const T value = __shfl_xor_sync(ALL_LANES, largest, other);
        largest = value > largest ? value : largest;
    }
    Sum total = 0;
    for (int k = lane; k < columns; k += WARP) total += exp(x[k] - largest);
    return {largest, warp_sum(total)};
}

extern "C" __global__ void softmax_rows(const T* __restrict__ x, T* __restrict__ y, const int rows, const int columns) {
    const int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    x += INDEX(row) * columns, y += INDEX(row) * columns;
    const Scale by = scale_of(x, columns);
    for (int k = lane; k < columns; k += WARP) y[k] = exp(x[k] - by.largest) / by.total;
}

// loss = -log(p[label]) with p = softmax(x), which is kept.
extern "C" __global__ void picked_of_logits(const T* __restrict__ x, const LABEL* __restrict__ labels,
                                            T* __restrict__ loss, T* __restrict__ p, const int rows, const int columns) {
    const int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    x += INDEX(row) * columns, p += INDEX(row) * columns;
    const Scale by = scale_of(x, columns);
    for (int k = lane; k < columns; k += WARP) p[k] = exp(x[k] - by.largest) / by.total;
    if (lane > 0) return;
    const long long label = labels[row];
    const T none = T(0) / T(0);
    loss[row] = label >= 0 && label < columns ? log(by.total) - (x[label] - by.largest) : none;
}

// loss = -sum(t log p) with p = softmax(x), which is kept.
extern "C" __global__ void crossed_of_logits(const T* __restrict__ x, const T* __restrict__ t, T* __restrict__ loss,
                                             T* __restrict__ p, const int rows, const int columns) {
    const int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    x += INDEX(row) * columns, t += INDEX(row) * columns, p += INDEX(row) * columns;
    const Scale by = scale_of(x, columns);
    Sum of_targets = 0, projected = 0;
    for (int k = lane; k < columns; k += WARP) {
        p[k] = exp(x[k] - by.largest) / by.total;
        of_targets += t[k], projected += t[k] * (x[k] - by.largest);
    }
    of_targets = warp_sum(of_targets);
    projected = warp_sum(projected);
    if (lane == 0) loss[row] = log(by.total) * of_targets - projected;
}

// dx = y (dy - sum(dy y)).
extern "C" __global__ void softmax_gradient(const T* __restrict__ dy, const T* __restrict__ y, T* __restrict__ dx,
                                            const int rows, const int columns) {
    const int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    dy += INDEX(row) * columns, y += INDEX(row) * columns, dx += INDEX(row) * columns;
    Sum projected = 0;
    for (int k = lane; k < columns; k += WARP) projected += dy[k] * y[k];
    projected = warp_sum(projected);
    for (int k = lane; k < columns; k += WARP) dx[k] = y[k] * (dy[k] - projected);
}

// loss = -log(p[label] / sum(p)), clipped.
extern "C" __global__ void picked_loss(const T* __restrict__ p, const LABEL* __restrict__ labels, T* __restrict__ loss,
                                       const int rows, const int columns) {
    const int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    p += INDEX(row) * columns;
    Sum total = 0;
    for (int k = lane; k < columns; k += WARP) total += p[k];
    total = warp_sum(total);
    if (lane > 0) return;
    const long long label = labels[row];
    const T none = T(0) / T(0);
    loss[row] = label >= 0 && label < columns ? -log(clipped(p[label] / total)) : none;
}

// With p = softmax(x): dx = (p - one at the label) dy.
extern "C" __global__ void picked_gradient(const T* __restrict__ dy, const T* __restrict__ p,
                                           const LABEL* __restrict__ labels, T* __restrict__ dx, const int columns,
                                           const INDEX size) {
    const INDEX i = thread_number();
    if (i >= size) return;
    const INDEX row = i / columns;
    dx[i] = (p[i] - T(i % columns == INDEX(labels[row]))) * dy[row];
}

// loss = -sum(t log p), p clipped.
extern "C" __global__ void crossed_loss(const T* __restrict__ p, const T* __restrict__ t, T* __restrict__ loss,
                                        const int rows, const int columns) {
    const int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    p += INDEX(row) * columns, t += INDEX(row) * columns;
    Sum total = 0;
    for (int k = lane; k < columns; k += WARP) total += t[k] * log(clipped(p[k]));
    total = warp_sum(total);
    if (lane == 0) loss[row] = -total;
}

// With p = softmax(x): dx = (p sum(t) - t) dy.
extern "C" __global__ void crossed_gradient(const T* __restrict__ p, const T* __restrict__ t, const T* __restrict__ dy,
                                            T* __restrict__ dx, const int rows, const int columns) {
    const int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= rows) return;
    p += INDEX(row) * columns, t += INDEX(row) * columns, dx += INDEX(row) * columns;
    Sum total = 0;
    for (int k = lane; k < columns; k += WARP) total += t[k];
    total = warp_sum(total);
    for (int k = lane; k < columns; k += WARP) dx[k] = (p[k] * total - t[k]) * dy[row];
}
