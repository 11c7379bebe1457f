// Global pooling: x (N, L, C), a number for each image and channel, over all L places.
//
// A block has an image and LANES of its channels, a power of two up to 32. Neighbouring lanes read neighbouring channels;
// where there are fewer than 32, the lanes of a warp share the places, too, and come together by shuffles. Then the warps
// do, through shared memory. The order is always the same.

constexpr int WARPS_OF_BLOCK = 8, PLACES = WARPS_OF_BLOCK * WARP / LANES;

struct Add {
    __device__ __forceinline__ Sum operator()(Sum a, Sum b) const { return a + b; }
};

struct Larger {
    __device__ __forceinline__ Sum operator()(Sum a, Sum b) const { return b > a || b != b ? b : a; }  // NaN wins
};

// What all threads of a block with this thread's channel have, brought together; all of them get it.
template <class Join>
__device__ __forceinline__ Sum over_places(Sum mine, Join join) {
    Sum(&of_warps)[WARPS_OF_BLOCK][LANES] = shared<Sum[WARPS_OF_BLOCK][LANES]>();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
#pragma unroll
    for (int other = WARP / 2; other >= LANES; other /= 2) mine = join(mine, Sum(__shfl_xor_sync(ALL_LANES, mine, other)));
    if (lane < LANES) of_warps[warp][lane] = mine;
    __syncthreads();
    Sum all = of_warps[0][lane % LANES];
#pragma unroll
    for (int other = 1; other < WARPS_OF_BLOCK; ++other) all = join(all, of_warps[other][lane % LANES]);
    return all;
}

// This thread's channel, and its first number in x.
struct Channel {
    int number;
    INDEX first;
};

__device__ __forceinline__ Channel channel_of_thread(const int places, const int channels) {
    const int number = blockIdx.y * LANES + threadIdx.x % LANES;
    return {number, INDEX(blockIdx.x) * places * channels + number};
}

extern "C" __global__ void average(const T* __restrict__ x, T* __restrict__ y, const int places, const int channels) {
    const Channel channel = channel_of_thread(places, channels);
    Sum total = 0;
    if (channel.number < channels)
        for (int place = threadIdx.x / LANES; place < places; place += PLACES)
            total += Sum(x[channel.first + INDEX(place) * channels]);
    total = over_places(total, Add());
    if (threadIdx.x < LANES && channel.number < channels)
        y[INDEX(blockIdx.x) * channels + channel.number] = T(total / places);
}

extern "C" __global__ void largest(const T* __restrict__ x, T* __restrict__ y, const int places, const int channels) {
    const Channel channel = channel_of_thread(places, channels);
    const bool real = channel.number < channels;
    const Larger larger;
    Sum best = real ? Sum(x[channel.first]) : Sum(0);  // a thread without a place has the first, too
    if (real)
        for (int place = threadIdx.x / LANES; place < places; place += PLACES)
            best = larger(best, Sum(x[channel.first + INDEX(place) * channels]));
    best = over_places(best, larger);
    if (threadIdx.x < LANES && real) y[INDEX(blockIdx.x) * channels + channel.number] = T(best);
}

// dx: dy shared equally among the places where x is y.
extern "C" __global__ void share_gradient(const T* __restrict__ dy, const T* __restrict__ x, const T* __restrict__ y,
                                          T* __restrict__ dx, const int places, const int channels) {
    const Channel channel = channel_of_thread(places, channels);
    const bool real = channel.number < channels;
    const INDEX made = INDEX(blockIdx.x) * channels + channel.number;
    const Sum best = real ? Sum(y[made]) : Sum(0);
    Sum ties = 0;
    if (real)
        for (int place = threadIdx.x / LANES; place < places; place += PLACES)
            ties += Sum(x[channel.first + INDEX(place) * channels]) == best ? Sum(1) : Sum(0);
    ties = over_places(ties, Add());
    if (!real) return;
    const Sum share = Sum(dy[made]) / ties;
    for (int place = threadIdx.x / LANES; place < places; place += PLACES) {
        const INDEX i = channel.first + INDEX(place) * channels;
        dx[i] = T(Sum(x[i]) == best ? share : share * Sum(0));
    }
}
