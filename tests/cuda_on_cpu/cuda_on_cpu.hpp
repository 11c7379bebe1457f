// CUDA on the CPU: enough of the language to run a kernel's text, one fiber for each thread of a block.
//
// Blocks run one after the other. Within a block every thread has a stack of its own; it runs until it meets a barrier
// or a warp's collective, and the next one follows. Three orders (forward, reversed, shuffled) bring about different
// interleavings: a kernel that is right gives the same bits in all of them. What a GPU would leave to chance is made
// to hurt: shared memory is full of NaN before each block, cp.async lands at its wait and not before, and barriers
// that not all threads reach are reported.
//
// It cannot see bank conflicts, how memory is ordered between blocks, or wgmma and TMA.
#pragma once

#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)0)
#endif

#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __restrict__
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

namespace cuda_on_cpu {

constexpr int WARP = 32, MOST_THREADS = 1024, STACK = 1 << 16, SHARED = 232448, SLOT = 64, PENDING = 256;

enum class State { runnable, at_block_barrier, at_warp_collective, done };

// A copy that cp.async has begun and no wait has ended yet.
struct Copy {
    void* to;
    const void* from;
    int bytes;     // 0: fill with zeros
    int size;
    int group;
};

struct Thread {
    State state;
    void* stack_pointer;
    uint3 index;
    int number;
    int collectives;  // how many of its warp it has taken part in
    const char* where;
    Copy* pending;
    int pending_count;
    int group;  // the number of the group of copies that is open
};

inline Thread threads[MOST_THREADS];
inline Copy copies[MOST_THREADS][PENDING];
inline Thread* current;
inline void* scheduler;
inline uint3 block_index;
inline dim3 block_size, grid_size;
inline int count;
inline void (*body)(void**);
inline void** arguments;
inline char* stacks;
alignas(128) inline unsigned char shared_bytes[SHARED];
// What each lane of each warp gives to a collective; two, since one lane may be at the next while others still read.
alignas(16) inline unsigned char slots[2][MOST_THREADS][SLOT];
inline char report[512];

extern "C" void cuda_on_cpu_switch(void** save, void* load);
// It ends with a jump and not with ret, which the processor expects to lead back to where the last call came from.
asm(R"(
.text
.weak cuda_on_cpu_switch
cuda_on_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx
)");

inline void give_way(State state, const char* where) {
    Thread* self = current;
    self->state = state;
    self->where = where;
    cuda_on_cpu_switch(&self->stack_pointer, scheduler);
}

inline void enter() {
    body(arguments);
    current->state = State::done;
    cuda_on_cpu_switch(&current->stack_pointer, scheduler);
    abort();
}

inline void begin(Thread& thread, int number) {
    thread.number = number;
    thread.pending = copies[number];
    thread.state = State::runnable;
    thread.collectives = thread.pending_count = thread.group = 0;
    thread.index = {number % block_size.x, number / block_size.x % block_size.y, number / block_size.x / block_size.y};
    thread.where = "the beginning";
    // Six registers and the address to return to; the stack is aligned as a call would leave it. Not all stacks begin
    // at the same place of a page: the processor's caches hold only a few addresses that are a power of 2 apart.
    void** top = reinterpret_cast<void**>(stacks + size_t(number + 1) * STACK - number % 64 * 64) - 2;
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(&enter);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    thread.stack_pointer = top;
}

inline uint64_t random_state;
inline uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return uint32_t(random_state >> 33) % n;
}

// order 0: forward, 1: reversed, 2 and above: shuffled, differently for each number
inline void arrange(int* numbers, int n, int order) {
    for (int i = 0; i < n; ++i) numbers[i] = order == 1 ? n - 1 - i : i;
    if (order >= 2)
        for (int i = n - 1; i > 0; --i) std::swap(numbers[i], numbers[random_below(i + 1)]);
}

inline bool release_warps() {
    bool any = false;
    for (int first = 0; first < count; first += WARP) {
        bool all = true;
        for (int i = first; i < first + WARP; ++i)
            all = all && threads[i].state == State::at_warp_collective && threads[i].where == threads[first].where;
        if (!all) continue;
        any = true;
        for (int i = first; i < first + WARP; ++i) threads[i].state = State::runnable;
    }
    return any;
}

inline bool release_block() {
    for (int i = 0; i < count; ++i)
        if (threads[i].state != State::at_block_barrier || threads[i].where != threads[0].where) return false;
    for (int i = 0; i < count; ++i) threads[i].state = State::runnable;
    return true;
}

inline const char* stuck() {
    static const char* names[] = {"runs", "waits at", "waits in a warp at", "has ended after"};
    int other = 1;
    while (other < count - 1 && threads[other].state == threads[0].state && threads[other].where == threads[0].where) ++other;
    snprintf(report, sizeof report, "block (%u, %u, %u) is stuck: thread 0 %s %s, but thread %d %s %s", block_index.x,
             block_index.y, block_index.z, names[int(threads[0].state)], threads[0].where, other,
             names[int(threads[other].state)], threads[other].where);
    return report;
}

inline const char* run_block(size_t shared, int order) {
    ASAN_UNPOISON_MEMORY_REGION(shared_bytes, SHARED);
    memset(shared_bytes, 0xFF, shared);
    ASAN_POISON_MEMORY_REGION(shared_bytes + shared, SHARED - shared);
    for (int i = 0; i < count; ++i) begin(threads[i], i);
    static int numbers[MOST_THREADS];
    int left = count;
    while (left) {
        bool moved = false;
        arrange(numbers, count, order);
        for (int i = 0; i < count; ++i) {
            Thread& thread = threads[numbers[i]];
            if (thread.state != State::runnable) continue;
            moved = true;
            current = &thread;
            cuda_on_cpu_switch(&scheduler, thread.stack_pointer);
            left -= thread.state == State::done;
        }
        moved = release_warps() || moved;
        moved = (left == count && release_block()) || moved;
        if (!moved) return stuck();
    }
    return nullptr;
}

// Runs a kernel; returns nullptr, or what went wrong.
inline const char* run(void (*kernel)(void**), void** args, const int* grid, const int* block, size_t shared, int order) {
    grid_size = {unsigned(grid[0]), unsigned(grid[1]), unsigned(grid[2])};
    block_size = {unsigned(block[0]), unsigned(block[1]), unsigned(block[2])};
    count = block[0] * block[1] * block[2];
    if (count % WARP || count > MOST_THREADS) return "a block must have whole warps, and no more than 1024 threads";
    if (shared > SHARED) return "a block has at most 227 KiB of shared memory";
    if (!stacks) {
        stacks = static_cast<char*>(mmap(nullptr, size_t(MOST_THREADS) * STACK, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (stacks == MAP_FAILED) abort();
    }
    body = kernel;
    arguments = args;
    random_state = uint64_t(order) * 0x9E3779B97F4A7C15ull + 1;
    int blocks = grid[0] * grid[1] * grid[2];
    int* numbers = static_cast<int*>(malloc(sizeof(int) * size_t(blocks)));
    arrange(numbers, blocks, order);
    const char* wrong = nullptr;
    for (int i = 0; i < blocks && !wrong; ++i) {
        unsigned number = numbers[i];
        block_index = {number % grid_size.x, number / grid_size.x % grid_size.y, number / grid_size.x / grid_size.y};
        wrong = run_block(shared, order);
    }
    free(numbers);
    return wrong;
}

template <class... Parameters>
struct Caller {
    template <void (*kernel)(Parameters...), size_t... I>
    static void call(void** args, std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_const_t<Parameters>*>(args[I])...);
    }
};

template <auto kernel>
struct Kernel;

template <class... Parameters, void (*kernel)(Parameters...)>
struct Kernel<kernel> {
    static constexpr int count = sizeof...(Parameters);
    static constexpr int sizes[] = {int(sizeof(Parameters))..., 0};
    static void call(void** args) {
        Caller<Parameters...>::template call<kernel>(args, std::index_sequence_for<Parameters...>{});
    }
};

// Gives every lane's value to every lane of the warp: the ground of shuffles, votes and matrix products.
template <class V>
struct Collective {
    static_assert(sizeof(V) <= SLOT && alignof(V) <= 16);
    int base, buffer;
    Collective(const V& value, const char* where) {
        base = current->number / WARP * WARP;
        buffer = current->collectives++ % 2;
        memcpy(slots[buffer][current->number], &value, sizeof(V));
        give_way(State::at_warp_collective, where);
    }
    const V& of(int lane) const { return *reinterpret_cast<const V*>(slots[buffer][base + lane]); }
};

inline void land(int newest_kept) {
    Thread& self = *current;
    int kept = 0;
    for (int i = 0; i < self.pending_count; ++i) {
        const Copy& copy = self.pending[i];
        if (copy.group > newest_kept) {
            self.pending[kept++] = copy;
            continue;
        }
        if (copy.bytes) memcpy(copy.to, copy.from, copy.bytes);
        memset(static_cast<char*>(copy.to) + copy.bytes, 0, copy.size - copy.bytes);
    }
    self.pending_count = kept;
}

}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_TEXT_(x) #x
#define CUDA_ON_CPU_TEXT(x) CUDA_ON_CPU_TEXT_(x)
#define CUDA_ON_CPU_HERE __FILE__ ":" CUDA_ON_CPU_TEXT(__LINE__)

#define threadIdx (cuda_on_cpu::current->index)
#define blockIdx (cuda_on_cpu::block_index)
#define blockDim (cuda_on_cpu::block_size)
#define gridDim (cuda_on_cpu::grid_size)

template <class S>
S& shared() {
    return *reinterpret_cast<S*>(cuda_on_cpu::shared_bytes);
}

#define __syncthreads() \
    cuda_on_cpu::give_way(cuda_on_cpu::State::at_block_barrier, "__syncthreads, " CUDA_ON_CPU_HERE)
#define __syncwarp() cuda_on_cpu::Collective<int>(0, "__syncwarp, " CUDA_ON_CPU_HERE)

template <class V>
V __shfl_xor_sync(unsigned, V value, int mask) {
    return cuda_on_cpu::Collective<V>(value, "__shfl_xor_sync").of((cuda_on_cpu::current->number ^ mask) % 32);
}

template <class V>
V __shfl_down_sync(unsigned, V value, int delta) {
    cuda_on_cpu::Collective<V> all(value, "__shfl_down_sync");
    int lane = cuda_on_cpu::current->number % 32;
    return all.of(lane + delta < 32 ? lane + delta : lane);
}

template <class V>
V __shfl_sync(unsigned, V value, int lane) {
    return cuda_on_cpu::Collective<V>(value, "__shfl_sync").of(lane % 32);
}

// Functions that CUDA has and C++ has not, or by other names
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline unsigned __float_as_uint(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }
inline float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }
template <class V> V __ldg(const V* p) { return *p; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
template <class V> V min(V a, V b) { return b < a ? b : a; }
template <class V> V max(V a, V b) { return a < b ? b : a; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
