// The public interface of the kernel: exact k nearest neighbours of dense vectors.
//
// An Index refers to a matrix that the caller owns. It keeps a code of one byte for each coordinate, computes
// whole-number scores of pairs from the codes, and proves from the scores that almost all pairs cannot be among the k
// nearest. The distances of the remaining pairs are computed from the original values in float64. Results are exact:
// they equal those of a float64 brute force, in the order (distance, row number), on every machine and for any number
// of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vicinal {

enum class Metric { euclidean, sqeuclidean, cosine, inner_product, manhattan, hamming, jaccard };
enum class DType { f16, f32, f64, i8, u8 };

// A matrix in memory; strides are in bytes and arbitrary.
struct Matrix {
    const void* data = nullptr;
    int64_t n_vectors = 0;
    int64_t dim = 0;
    int64_t row_stride = 0;
    int64_t column_stride = 0;
    DType dtype = DType::f32;
};

// The state of an unfinished self-join. The lists of neighbours so far are in the result arrays.
struct Checkpoint {
    int64_t finished = 0;
    uint64_t layout = 0;  // identifies the data, their order, k and the tasks that the state belongs to
};

// Functions called during a call, on the calling thread. An exception in one of them stops the workers and is rethrown.
struct Callbacks {
    std::function<void(int64_t done, int64_t total)> progress;
    std::function<void(const Checkpoint&)> save;
    double save_interval = 60;
    const Checkpoint* resume = nullptr;
};

struct Stats {
    std::string isa;
    int threads = 0;
    int sketch = 0;          // coordinates of the largest sketch; 0 where none were used
    int64_t pairs = 0;       // pairs of a row and a stored row
    int64_t candidates = 0;  // pairs whose distance was computed
    double seconds = 0;
    double seconds_build = 0;
    double seconds_seed = 0;
    double seconds_scan = 0;
    double seconds_finish = 0;
};

// All neighbours within a radius: those of row i are indices[indptr[i]:indptr[i + 1]], ascending by (distance, row
// number).
struct RadiusResult {
    std::vector<int64_t> indptr;
    std::vector<int64_t> indices;
    std::vector<float> distances;
};

// The lists of a join in parts, n x k entries in the memory of an int64 and a float32 array: the bytes of a float64
// distance take the place of an index, those of a uint32 row number the place of a distance. An empty entry has
// distance infinity and row 2^32 - 1. The order in a list is that of a heap, the worst entry first.
struct RawLists {
    int64_t* distances;
    float* rows;
    const double* limits;  // of each row, the distance beyond which no entry is wanted
};

// The entries of lists one after the other; those of a list are in no order.
struct Entries {
    std::vector<int64_t> counts;  // of each list
    std::vector<uint32_t> rows;
    std::vector<double> distances;

    void add(int64_t list, double distance, uint32_t row) {
        ++counts[list];
        rows.push_back(row);
        distances.push_back(distance);
    }
};

// A part of the tasks of a self-join, so that several processes make one together. The blocks of rows lie in `ranges`
// ranges. A first share compares the blocks of range `first` with those of them that are near. The further shares
// compare all other blocks: of `of` equal parts, those from `first` to before `last`.
struct Share {
    int64_t ranges = 1;
    bool further = false;
    int64_t first = 0, last = 1, of = 1;
};

class Index {
public:
    // isa "" takes VICINAL_ISA from the environment, or else the best instruction set. threads 0 takes all processors.
    // sketch is the number of coordinates of the largest sketch (sketch.hpp): a multiple of 16 up to 4096, 0 for no
    // sketches, -1 to choose.
    Index(const Matrix& vectors, Metric metric, int threads, const std::string& isa, int sketch = -1,
          const Callbacks& callbacks = {});
    ~Index();
    Index(Index&&) noexcept;

    // groups may be null. Rows of the same group are not neighbours. indices and distances have n_vectors x k elements;
    // with `raw` they are left as RawLists.
    void self_join(int64_t k, const int64_t* groups, int64_t* indices, float* distances,
                   const Callbacks& callbacks = {}, bool raw = false);
    void search(const Matrix& queries, int64_t k, const int64_t* groups, const int64_t* query_groups, int64_t* indices,
                float* distances, const Callbacks& callbacks = {});
    // Compares each query once with each stored row, and leaves the k nearest of both in lists. Those of the queries
    // are overwritten; those of the stored rows take up the queries, named by first_query + number.
    void cross_join(const Matrix& queries, int64_t k, const int64_t* groups, const int64_t* query_groups,
                    const RawLists& query_lists, const RawLists& stored_lists, int64_t first_query,
                    const Callbacks& callbacks = {});
    // Runs a share of the tasks of a self-join. Returns the neighbours within the limits, one for each row, that the
    // k nearest of all shares of this index so far did not have before. All shares, the first ones and the further
    // ones, name each pair at least once. `layout` identifies the tasks: shares of different numbers belong to
    // different joins, and may leave pairs out.
    Entries self_join_share(int64_t k, const int64_t* groups, const Share& share, const double* limits,
                            uint64_t& layout, const Callbacks& callbacks = {});
    // Does the work that the further shares have in common, which the first of them would do.
    void prepare_shares(int64_t k, const int64_t* groups, const Callbacks& callbacks = {});
    // queries null: the neighbours of each stored row, without itself.
    RadiusResult within(double radius, const Matrix* queries, const int64_t* groups, const int64_t* query_groups,
                        const Callbacks& callbacks = {});
    const Stats& stats() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// An approximate neighbour graph (graph_join.hpp): lists of the nearest rows found so far. The result depends on the
// rows, the calls and the seed alone: not on the number of threads, nor on the instruction set.
class Graph {
public:
    // width is the number of entries of a list: the more above k, the fewer neighbours are lost by the error of codes.
    // Rows of the same group are not neighbours; groups may be null. The codes of the rows are kept in `codes`, if
    // given, such as a map of a file: code_bytes(vectors) bytes that outlive the graph, aligned to 64.
    Graph(const Matrix& vectors, Metric metric, int threads, const std::string& isa, const int64_t* groups,
          int64_t width, uint64_t seed, const Callbacks& callbacks = {}, uint8_t* codes = nullptr);
    static int64_t code_bytes(const Matrix& vectors);
    ~Graph();
    Graph(Graph&&) noexcept;

    // Joins the cells of one more random partition into cells of about `leaf` rows, each row being in `fanout` cells.
    void partition(int64_t leaf, int64_t fanout, const Callbacks& callbacks = {});
    // Compares each row with at most `most` neighbours of the `degree` nearest neighbours of the rows near it.
    void refine(int64_t degree, int64_t most, const Callbacks& callbacks = {});
    // Gives back the codes and what else only these two need; they throw std::logic_error from then on.
    void release();
    // The k nearest found of the named rows, or of all for null, with their distances in float64; -1 and infinity where
    // fewer were found. reaches, one for each row, may be null: the distance from which on a row may be missing because
    // codes tell distances no better; infinity where the list is not full.
    void neighbours(const int64_t* rows, int64_t n, int64_t k, int64_t* indices, float* distances,
                    const Callbacks& callbacks = {}, double* reaches = nullptr);
    int64_t pairs() const;    // pairs compared so far
    int64_t changed() const;  // entries of lists that the last call inserted

private:
    friend class GraphSearch;
    struct State;
    std::unique_ptr<State> state_;
};

// The arrays that a GraphSearch consists of (navigable.hpp): all that a file of it holds.
struct GraphParts {
    int64_t n = 0, dim = 0, row_bytes = 0, degree = 0, n_starts = 0, n_centres = 1;
    bool products = false;
    int max_code = 127;
    double factor = 1;
    const double* origin = nullptr;     // dim
    const float* centres = nullptr;     // n_centres x dim, padded to a multiple of 8
    const uint16_t* regions = nullptr;  // n, the centre of each node; none where there is one
    const int32_t* rows = nullptr;      // n, the row of each node
    const uint8_t* codes = nullptr;     // n x row_bytes
    const float* terms = nullptr;       // n x 2, base and scale
    const int32_t* links = nullptr;     // n x degree, -1 last
    const int32_t* starts = nullptr;    // n_starts
};

// A graph that queries walk along towards the rows near them, by codes alone (navigable.hpp). It needs no vectors. What
// it finds depends on its rows and the order of the calls alone, not on the number of threads or the instruction set.
class GraphSearch {
public:
    // Makes a graph of Euclidean distances: `degree` links for each row, from the lists of `graph`, or from searches of
    // `width` where the codes of these lists tell rows little apart.
    GraphSearch(Graph& graph, int64_t degree, int64_t width, const Callbacks& callbacks = {});
    // Makes a graph of inner products, from searches.
    GraphSearch(const Matrix& vectors, int64_t degree, int64_t width, int threads, const std::string& isa,
                const Callbacks& callbacks = {});
    // Copies the arrays; throws std::invalid_argument where they do not fit together.
    GraphSearch(const GraphParts& parts, int threads, const std::string& isa);
    ~GraphSearch();
    GraphSearch(GraphSearch&&) noexcept;

    // The rows near each query, n_queries x k, nearest first as far as codes tell; -1 where fewer are found. `width` is
    // how many rows a search keeps in view, at least k. allowed, one bit for each row, may be null. Of each query the
    // row `hidden`, if given, is passed over as if it were not there: so stored rows stand for new ones.
    void search(const Matrix& queries, int64_t k, int64_t width, const uint8_t* allowed, int64_t* rows,
                const int64_t* hidden = nullptr);
    // Adds rows after the others; `width` is that of the searches for their neighbours.
    void extend(const Matrix& rows, int64_t width, const Callbacks& callbacks = {});
    GraphParts parts() const;
    int64_t n_bytes() const;

private:
    struct State;
    static bool orders(const Graph& graph);
    std::unique_ptr<State> state_;
};

// Computes the rank of m named rows for each query, in float64 and in the fixed order of rows.hpp: the sum of squares
// for euclidean, sqeuclidean and cosine, the negated inner product for inner_product, the distance for the others. A
// row of -1 has rank infinity. inverse_norms, one for each row of vectors, is required for cosine and null otherwise.
void measure_pairs(const Matrix& vectors, const double* inverse_norms, Metric metric, const Matrix& queries,
                   const int64_t* rows, int64_t m, int threads, const std::string& isa, double* ranks);

// The instruction sets that this machine and this build support, best first.
std::vector<std::string> isas();

// Peak int8 throughput of one core: billions of multiply-and-add operations a second.
double int8_roof(const std::string& isa);

}  // namespace vicinal
