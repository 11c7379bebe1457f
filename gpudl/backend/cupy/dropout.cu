// Dropout with the bits of NumPy's Philox4x64-10 under the same key, so that a model drops the same units on both
// devices. Nothing is kept for the way back: it draws the same bits again.
//
// Source: Salmon et al. 2011, Parallel Random Numbers: As Easy as 1, 2, 3.

struct Block {
    unsigned long long at[4];
};

__device__ __forceinline__ Block philox(unsigned long long counter, unsigned long long key_0, unsigned long long key_1) {
    constexpr unsigned long long M_0 = 0xD2E7470EE14C6C93ull, M_1 = 0xCA5A826395121157ull;
    Block c{{counter, 0, 0, 0}};
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        if (round) key_0 += 0x9E3779B97F4A7C15ull, key_1 += 0xBB67AE8584CAA73Bull;
        const unsigned long long high_0 = __umul64hi(M_0, c.at[0]), low_0 = M_0 * c.at[0];
        const unsigned long long high_1 = __umul64hi(M_1, c.at[2]), low_1 = M_1 * c.at[2];
        c = {{high_1 ^ c.at[1] ^ key_0, low_1, high_0 ^ c.at[3] ^ key_1, low_0}};
    }
    return c;
}

// One thread for each 8 neighbours: a block of Philox has 256 bits, and each number takes 32 of them. The key is given,
// or lies in a row of `keys`, so that a CUDA graph can draw anew whenever it is launched.
extern "C" __global__ void drop(const T* __restrict__ x, T* __restrict__ y, unsigned long long key_0,
                                unsigned long long key_1, const unsigned long long* __restrict__ keys, const int row,
                                const unsigned threshold, const T factor, const INDEX count, const INDEX threads) {
    const INDEX number = thread_number();
    if (number >= threads) return;
    if (keys) key_0 = keys[2 * row], key_1 = keys[2 * row + 1];
    const Block bits = philox(number + 1ull, key_0, key_1);  // NumPy counts from 1
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const INDEX i = number * 8 + j;
        if (i < count) y[i] = x[i] * (unsigned(bits.at[j / 2] >> (32 * (j % 2))) >= threshold ? factor : T(0));
    }
}
