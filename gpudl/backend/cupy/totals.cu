// A metric takes in a batch: one block adds up its values and lets the running sums grow. Nothing is read back.

constexpr int WARPS_OF_BLOCK = 8;

extern "C" __global__ void add_values(const T* __restrict__ values, double* __restrict__ total, double* __restrict__ count,
                                      const double share, const double number, const INDEX size) {
    double(&of_warps)[WARPS_OF_BLOCK] = shared<double[WARPS_OF_BLOCK]>();
    double sum = 0;
    for (INDEX i = threadIdx.x; i < size; i += blockDim.x) sum += double(values[i]);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int warp = 1; warp < WARPS_OF_BLOCK; ++warp) sum += of_warps[warp];
    *total += share * sum;
    *count += number;
}
