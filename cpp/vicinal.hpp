// Exact k nearest neighbours of dense vectors: the public interface of the kernel.
//
// An Index looks at a matrix that somebody else owns. It keeps one byte a coordinate (the codes), ranks pairs by whole
// numbers made from the codes, proves for almost every pair that it cannot matter, and measures the few that remain
// from the original values in float64. Nothing is approximate: the answer is the one that a float64 brute force gives,
// in the order (distance, row number), on every machine and for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vicinal {

enum class Metric { euclidean, sqeuclidean, cosine, inner_product, manhattan, hamming, jaccard };
enum class DType { f16, f32, f64, i8, u8 };

// A matrix as it lies in memory; strides are in bytes and may be anything.
struct Matrix {
    const void* data = nullptr;
    int64_t n_vectors = 0;
    int64_t dim = 0;
    int64_t row_stride = 0;
    int64_t column_stride = 0;
    DType dtype = DType::f32;
};

// A self-join that stopped: the number of finished tasks and the lists as they were, which lie in the result arrays.
struct Checkpoint {
    int64_t finished = 0;
    uint64_t layout = 0;  // names the data, its order, k and the tiles that the state belongs to
};

// What the caller hears while a call runs. Both functions are called on the caller's own thread; what they throw stops
// the workers and leaves the call.
struct Watch {
    std::function<void(int64_t done, int64_t total)> tick;
    std::function<void(const Checkpoint&)> save;
    double save_every = 60;
    const Checkpoint* resume = nullptr;
};

struct Stats {
    std::string isa;
    int threads = 0;
    int sketch = 0;          // coordinates of the sketches that a self-join or a search used; 0 where it used none
    int64_t pairs = 0;       // pairs that had to be decided
    int64_t candidates = 0;  // pairs measured exactly
    double seconds = 0;
    double seconds_build = 0;
    double seconds_seed = 0;
    double seconds_scan = 0;
    double seconds_finish = 0;
};

// Row i's neighbours are indices[indptr[i]:indptr[i + 1]], ascending by (distance, row number).
struct Within {
    std::vector<int64_t> indptr;
    std::vector<int64_t> indices;
    std::vector<float> distances;
};

class Index {
public:
    // isa "" asks the environment variable VICINAL_ISA, and then takes the best; threads 0 takes all processors; sketch
    // says of how many coordinates sketches are (sketch.hpp), a multiple of 16 up to 4096, 0 for none, or -1 for what
    // pays.
    Index(const Matrix& vectors, Metric metric, int threads, const std::string& isa, int sketch = -1,
          const Watch& watch = {});
    ~Index();
    Index(Index&&) noexcept;

    // groups may be null; rows of one group are not neighbours of each other. indices and distances are n_vectors x k.
    void self_join(int64_t k, const int64_t* groups, int64_t* indices, float* distances, const Watch& watch = {});
    void search(const Matrix& queries, int64_t k, const int64_t* groups, const int64_t* query_groups, int64_t* indices,
                float* distances, const Watch& watch = {});
    // queries null: the stored rows themselves, each without itself.
    Within within(double radius, const Matrix* queries, const int64_t* groups, const int64_t* query_groups,
                  const Watch& watch = {});
    const Stats& stats() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// What the metric sums over the coordinates of each pair (a query, one of the m rows named for it), in float64 and in
// the kernel's own order: squares for euclidean and cosine, less the product for inner_product. A row of -1 gives
// infinity. inverse_norms, one a row of vectors, belong to cosine alone.
void measure_pairs(const Matrix& vectors, const double* inverse_norms, Metric metric, const Matrix& queries,
                   const int64_t* rows, int64_t m, int threads, const std::string& isa, double* ranks);

// The instruction sets that this machine and this build can use, best first.
std::vector<std::string> isas();

// Multiply-and-add operations on int8 that one core does in a second, in billions, accumulators kept in registers.
double int8_roof(const std::string& isa);

}  // namespace vicinal
