// The Python module of the kernel: converts arrays, and releases the GIL during calls.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "strings.hpp"
#include "vicinal.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using vicinal::DType;
using vicinal::Metric;
using Array = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;
using Labels = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Metric metric_of(const std::string& name) {
    constexpr std::pair<const char*, Metric> kNames[] = {
        {"euclidean", Metric::euclidean}, {"sqeuclidean", Metric::sqeuclidean},
        {"cosine", Metric::cosine},       {"inner_product", Metric::inner_product},
        {"manhattan", Metric::manhattan}, {"hamming", Metric::hamming},
        {"jaccard", Metric::jaccard}};
    std::string choices;
    for (const auto& [known, metric] : kNames) {
        if (name == known) return metric;
        choices += std::string(choices.empty() ? "" : ", ") + known;
    }
    throw std::invalid_argument("metric: expected one of " + choices + ", got \"" + name + "\"");
}

DType dtype_of(nb::dlpack::dtype dtype) {
    using Code = nb::dlpack::dtype_code;
    const auto code = static_cast<Code>(dtype.code);
    if (code == Code::Float && dtype.bits == 16) return DType::f16;
    if (code == Code::Float && dtype.bits == 32) return DType::f32;
    if (code == Code::Float && dtype.bits == 64) return DType::f64;
    if (code == Code::Int && dtype.bits == 8) return DType::i8;
    if (code == Code::UInt && dtype.bits == 8) return DType::u8;
    throw std::invalid_argument("vectors: expected float16, float32, float64, int8 or uint8");
}

vicinal::Matrix matrix_of(const Array& array) {
    const auto size = static_cast<int64_t>(array.itemsize());
    return {array.data(),
            static_cast<int64_t>(array.shape(0)),
            static_cast<int64_t>(array.shape(1)),
            array.stride(0) * size,
            array.stride(1) * size,
            dtype_of(array.dtype())};
}

const int64_t* labels_of(const std::optional<Labels>& labels, int64_t n, const char* name) {
    if (!labels) return nullptr;
    if (static_cast<int64_t>(labels->shape(0)) != n) {
        throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(n) + ", one for each row, got " +
                                    std::to_string(labels->shape(0)));
    }
    return labels->data();
}

template <class T>
nb::ndarray<nb::numpy, T> array_of(T* data, std::initializer_list<size_t> shape) {
    return {data, shape, nb::capsule(data, [](void* p) noexcept { delete[] static_cast<T*>(p); })};
}

template <class T>
nb::ndarray<nb::numpy, T> array_of(std::vector<T>&& values) {
    auto* held = new std::vector<T>(std::move(values));
    return {held->data(), {held->size()}, nb::capsule(held, [](void* p) noexcept {
                delete static_cast<std::vector<T>*>(p);
            })};
}

// Callbacks run on the calling thread, which has released the GIL.
vicinal::Callbacks callbacks_of(const nb::object& progress) {
    vicinal::Callbacks callbacks;
    callbacks.progress = [&progress](int64_t done, int64_t total) {
        const nb::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        if (!progress.is_none()) progress(done, total);
    };
    return callbacks;
}

using Named = nb::ndarray<const int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Norms = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

nb::ndarray<nb::numpy, double> pairs(const Array& vectors, const std::optional<Norms>& inverse_norms,
                                     const std::string& metric, const Array& queries, const Named& rows, int threads,
                                     const std::string& isa) {
    const vicinal::Matrix stored = matrix_of(vectors), given = matrix_of(queries);
    const Metric which = metric_of(metric);
    if (static_cast<int64_t>(rows.shape(0)) != given.n_vectors)
        throw std::invalid_argument("rows: expected one line for each query");
    if (inverse_norms && static_cast<int64_t>(inverse_norms->shape(0)) != stored.n_vectors) {
        throw std::invalid_argument("inverse_norms: expected one for each row of vectors");
    }
    auto ranks = array_of(new double[rows.size()], {rows.shape(0), rows.shape(1)});
    {
        const nb::gil_scoped_release release;
        vicinal::measure_pairs(stored, inverse_norms ? inverse_norms->data() : nullptr, which, given, rows.data(),
                               static_cast<int64_t>(rows.shape(1)), threads, isa, ranks.data());
    }
    return ranks;
}

std::pair<nb::ndarray<nb::numpy, int64_t>, nb::ndarray<nb::numpy, float>> result(int64_t n, int64_t k) {
    if (k < 1 || (n > 0 && k > std::numeric_limits<int64_t>::max() / 16 / n)) {
        throw std::invalid_argument("k: expected at least 1 and a result that fits in memory, got " +
                                    std::to_string(k));
    }
    const auto rows = static_cast<size_t>(n), width = static_cast<size_t>(k);
    return {array_of(new int64_t[rows * width], {rows, width}), array_of(new float[rows * width], {rows, width})};
}

using Limits = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using RawDistances = nb::ndarray<int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using RawRows = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

class Index {
public:
    Index(Array vectors, const std::string& metric, int threads, const std::string& isa, int sketch)
        : vectors_(std::move(vectors)), index_(build(vectors_, metric, threads, isa, sketch)) {}

    nb::tuple self_join(int64_t k, const std::optional<Labels>& groups, const nb::object& progress,
                        const nb::object& checkpoint, double every, const nb::object& resume, bool raw) {
        const auto n = static_cast<int64_t>(vectors_.shape(0));
        const int64_t* labels = labels_of(groups, n, "groups");
        auto [indices, distances] = result(n, k);
        vicinal::Callbacks callbacks = callbacks_of(progress);
        vicinal::Checkpoint state;
        if (!checkpoint.is_none()) {
            callbacks.save_interval = every;
            callbacks.save = [&, indices = &indices, distances = &distances](const vicinal::Checkpoint& now) {
                const nb::gil_scoped_acquire gil;
                nb::dict saved;
                saved["finished"] = now.finished;
                saved["layout"] = now.layout;
                saved["indices"] = *indices;
                saved["distances"] = *distances;
                checkpoint(saved);
            };
        }
        if (!resume.is_none()) {
            state.finished = nb::cast<int64_t>(resume["finished"]);
            state.layout = nb::cast<uint64_t>(resume["layout"]);
            const auto old_indices =
                nb::cast<nb::ndarray<const int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(resume["indices"]);
            const auto old_distances =
                nb::cast<nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>>(resume["distances"]);
            if (old_indices.size() != indices.size() || old_distances.size() != distances.size()) {
                throw std::invalid_argument("resume: expected arrays of the shape of the result, (n_vectors, k)");
            }
            std::copy_n(old_indices.data(), indices.size(), indices.data());
            std::copy_n(old_distances.data(), distances.size(), distances.data());
            callbacks.resume = &state;
        }
        {
            const nb::gil_scoped_release release;
            index_.self_join(k, labels, indices.data(), distances.data(), callbacks, raw);
        }
        return nb::make_tuple(indices, distances);
    }

    nb::tuple search(const Array& queries, int64_t k, const std::optional<Labels>& groups,
                     const std::optional<Labels>& query_groups, const nb::object& progress) {
        const vicinal::Matrix matrix = matrix_of(queries);
        const int64_t* labels = labels_of(groups, static_cast<int64_t>(vectors_.shape(0)), "groups");
        const int64_t* query_labels = labels_of(query_groups, matrix.n_vectors, "query_groups");
        auto [indices, distances] = result(matrix.n_vectors, k);
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        {
            const nb::gil_scoped_release release;
            index_.search(matrix, k, labels, query_labels, indices.data(), distances.data(), callbacks);
        }
        return nb::make_tuple(indices, distances);
    }

    nb::tuple cross_join(const Array& queries, const Limits& limits, const Limits& stored_limits,
                         const RawDistances& stored_distances, const RawRows& stored_rows, int64_t first_query,
                         const std::optional<Labels>& groups, const std::optional<Labels>& query_groups,
                         const nb::object& progress) {
        const vicinal::Matrix matrix = matrix_of(queries);
        const auto n = static_cast<int64_t>(vectors_.shape(0)), k = static_cast<int64_t>(stored_rows.shape(1));
        const int64_t* labels = labels_of(groups, n, "groups");
        const int64_t* query_labels = labels_of(query_groups, matrix.n_vectors, "query_groups");
        const bool fit = static_cast<int64_t>(stored_rows.shape(0)) == n &&
                         stored_distances.shape(0) == stored_rows.shape(0) &&
                         stored_distances.shape(1) == stored_rows.shape(1);
        if (!fit) throw std::invalid_argument("stored lists: expected two arrays (n, k), n the number of stored rows");
        if (static_cast<int64_t>(limits.shape(0)) != matrix.n_vectors ||
            static_cast<int64_t>(stored_limits.shape(0)) != n)
            throw std::invalid_argument("limits: expected one for each row");
        const bool named = first_query >= 0 && first_query + matrix.n_vectors < std::numeric_limits<uint32_t>::max();
        if (!named) throw std::invalid_argument("first_query: expected numbers below 2^32 - 1");
        auto [distances, rows] = result(matrix.n_vectors, k);
        const vicinal::RawLists lists{distances.data(), rows.data(), limits.data()};
        const vicinal::RawLists stored{stored_distances.data(), stored_rows.data(), stored_limits.data()};
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        {
            const nb::gil_scoped_release release;
            index_.cross_join(matrix, k, labels, query_labels, lists, stored, first_query, callbacks);
        }
        return nb::make_tuple(distances, rows);
    }

    nb::tuple within(double radius, const std::optional<Array>& queries, const std::optional<Labels>& groups,
                     const std::optional<Labels>& query_groups, const nb::object& progress) {
        vicinal::Matrix matrix;
        if (queries) matrix = matrix_of(*queries);
        const int64_t* labels = labels_of(groups, static_cast<int64_t>(vectors_.shape(0)), "groups");
        const int64_t* query_labels = labels_of(query_groups, matrix.n_vectors, "query_groups");
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        vicinal::RadiusResult result;
        {
            const nb::gil_scoped_release release;
            result = index_.within(radius, queries ? &matrix : nullptr, labels, query_labels, callbacks);
        }
        return nb::make_tuple(array_of(std::move(result.indptr)), array_of(std::move(result.indices)),
                              array_of(std::move(result.distances)));
    }

    nb::dict stats() const {
        const vicinal::Stats& s = index_.stats();
        nb::dict out;
        out["isa"] = s.isa;
        out["threads"] = s.threads;
        out["sketch"] = s.sketch;
        out["pairs"] = s.pairs;
        out["candidates"] = s.candidates;
        out["seconds"] = s.seconds;
        out["seconds_build"] = s.seconds_build;
        out["seconds_seed"] = s.seconds_seed;
        out["seconds_scan"] = s.seconds_scan;
        out["seconds_finish"] = s.seconds_finish;
        return out;
    }

private:
    static vicinal::Index build(const Array& vectors, const std::string& metric, int threads, const std::string& isa,
                                int sketch) {
        const vicinal::Matrix matrix = matrix_of(vectors);
        const Metric which = metric_of(metric);
        const nb::object nothing = nb::none();
        const vicinal::Callbacks callbacks = callbacks_of(nothing);
        const nb::gil_scoped_release release;
        return vicinal::Index(matrix, which, threads, isa, sketch, callbacks);
    }

    Array vectors_;
    vicinal::Index index_;
};

class Graph {
public:
    Graph(Array vectors, const std::string& metric, int threads, const std::string& isa,
          const std::optional<Labels>& groups, int64_t width, uint64_t seed, const nb::object& progress)
        : vectors_(std::move(vectors)), graph_(build(vectors_, metric, threads, isa, groups, width, seed, progress)) {}

    void partition(int64_t leaf, int64_t fanout, const nb::object& progress) {
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        graph_.partition(leaf, fanout, callbacks);
    }
    void refine(int64_t degree, int64_t most, const nb::object& progress) {
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        graph_.refine(degree, most, callbacks);
    }
    nb::tuple neighbours(int64_t k, const std::optional<Labels>& rows, const nb::object& progress) {
        const auto n = static_cast<int64_t>(rows ? rows->shape(0) : vectors_.shape(0));
        auto [indices, distances] = result(n, k);
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        {
            const nb::gil_scoped_release release;
            graph_.neighbours(rows ? rows->data() : nullptr, n, k, indices.data(), distances.data(), callbacks);
        }
        return nb::make_tuple(indices, distances);
    }
    int64_t pairs() const { return graph_.pairs(); }
    int64_t changed() const { return graph_.changed(); }
    vicinal::Graph& graph() { return graph_; }

private:
    static vicinal::Graph build(const Array& vectors, const std::string& metric, int threads, const std::string& isa,
                                const std::optional<Labels>& groups, int64_t width, uint64_t seed,
                                const nb::object& progress) {
        const vicinal::Matrix matrix = matrix_of(vectors);
        const Metric which = metric_of(metric);
        const int64_t* labels = labels_of(groups, matrix.n_vectors, "groups");
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        return vicinal::Graph(matrix, which, threads, isa, labels, width, seed, callbacks);
    }

    Array vectors_;
    vicinal::Graph graph_;
};

template <class T>
using Flat = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Table = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::ndarray<nb::numpy, T> copy_of(const T* data, std::initializer_list<size_t> shape) {
    size_t size = 1;
    for (const size_t side : shape) size *= side;
    auto* const copy = new T[std::max<size_t>(1, size)];
    std::copy_n(data, size, copy);
    return array_of(copy, shape);
}

class GraphSearch {
public:
    GraphSearch(Graph& graph, int64_t degree, const nb::object& progress) : search_(build(graph, degree, progress)) {}

    GraphSearch(int64_t dim, int max_code, double factor, double scale, const Flat<double>& centre,
                const Flat<int32_t>& rows, const Table<uint8_t>& codes, const Flat<float>& bases,
                const Table<int32_t>& links, const Flat<int32_t>& starts, int threads, const std::string& isa)
        : search_(load(dim, max_code, factor, scale, centre, rows, codes, bases, links, starts, threads, isa)) {}

    nb::ndarray<nb::numpy, int64_t> search(const Array& queries, int64_t k, int64_t width,
                                           const std::optional<Flat<uint8_t>>& allowed) {
        const vicinal::Matrix matrix = matrix_of(queries);
        if (allowed && 8 * static_cast<int64_t>(allowed->shape(0)) < search_.parts().n)
            throw std::invalid_argument("allowed: expected one bit for each row");
        auto [rows, distances] = result(matrix.n_vectors, k);
        {
            const nb::gil_scoped_release release;
            search_.search(matrix, k, width, allowed ? allowed->data() : nullptr, rows.data());
        }
        return rows;
    }

    void extend(const Array& rows, int64_t width, const nb::object& progress) {
        const vicinal::Matrix matrix = matrix_of(rows);
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        search_.extend(matrix, width, callbacks);
    }

    nb::dict parts() const {
        const vicinal::GraphParts parts = search_.parts();
        const auto n = static_cast<size_t>(parts.n);
        nb::dict out;
        out["dim"] = parts.dim;
        out["max_code"] = parts.max_code;
        out["factor"] = parts.factor;
        out["scale"] = parts.scale;
        out["centre"] = copy_of(parts.centre, {static_cast<size_t>(parts.dim)});
        out["rows"] = copy_of(parts.rows, {n});
        out["codes"] = copy_of(parts.codes, {n, static_cast<size_t>(parts.row_bytes)});
        out["bases"] = copy_of(parts.bases, {n});
        out["links"] = copy_of(parts.links, {n, static_cast<size_t>(parts.degree)});
        out["starts"] = copy_of(parts.starts, {static_cast<size_t>(parts.n_starts)});
        return out;
    }

    int64_t n() const { return search_.parts().n; }
    int64_t n_bytes() const { return search_.n_bytes(); }

private:
    static vicinal::GraphSearch build(Graph& graph, int64_t degree, const nb::object& progress) {
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        return vicinal::GraphSearch(graph.graph(), degree, callbacks);
    }

    static vicinal::GraphSearch load(int64_t dim, int max_code, double factor, double scale, const Flat<double>& centre,
                                     const Flat<int32_t>& rows, const Table<uint8_t>& codes, const Flat<float>& bases,
                                     const Table<int32_t>& links, const Flat<int32_t>& starts, int threads,
                                     const std::string& isa) {
        const size_t n = rows.shape(0);
        if (static_cast<int64_t>(centre.shape(0)) != dim || codes.shape(0) != n || bases.shape(0) != n ||
            links.shape(0) != n)
            throw std::invalid_argument("graph: expected arrays of one length");
        vicinal::GraphParts parts;
        parts.n = static_cast<int64_t>(n);
        parts.dim = dim;
        parts.row_bytes = static_cast<int64_t>(codes.shape(1));
        parts.degree = static_cast<int64_t>(links.shape(1));
        parts.n_starts = static_cast<int64_t>(starts.shape(0));
        parts.max_code = max_code;
        parts.factor = factor;
        parts.scale = scale;
        parts.centre = centre.data();
        parts.rows = rows.data();
        parts.codes = codes.data();
        parts.bases = bases.data();
        parts.links = links.data();
        parts.starts = starts.data();
        const nb::gil_scoped_release release;
        return vicinal::GraphSearch(parts, threads, isa);
    }

    vicinal::GraphSearch search_;
};

using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

vicinal::StringDistance string_distance_of(const std::string& name) {
    using vicinal::StringDistance;
    constexpr std::pair<const char*, StringDistance> kNames[] = {
        {"InnerProductSimilarity", StringDistance::inner_product},
        {"CosineSimilarity", StringDistance::cosine_similarity},
        {"CosineDistance", StringDistance::cosine_distance},
        {"EuclideanDistance", StringDistance::euclidean},
        {"ManhattanDistance", StringDistance::manhattan}};
    for (const auto& [known, which] : kNames) {
        if (name == known) return which;
    }
    throw std::invalid_argument("unknown distance \"" + name + "\"");
}

// An Apache Arrow array of type binary, given by its buffers: n + 1 offsets, the bytes, and the validity bitmap or
// None.
class Strings {
public:
    Strings(const Offsets& offsets, const Bytes& bytes, const std::optional<Bytes>& present, int64_t first)
        : n_(static_cast<int64_t>(offsets.shape(0)) - 1), offsets_(offsets), bytes_(bytes), present_(present) {
        const auto held = static_cast<int64_t>(bytes.shape(0));
        if (n_ < 0 || offsets.data()[0] < 0 || offsets.data()[n_] > held) {
            throw std::invalid_argument("offsets: expected n + 1 numbers from 0 to the number of bytes");
        }
        for (int64_t i = 0; i < n_; ++i) {
            if (offsets.data()[i] > offsets.data()[i + 1]) {
                throw std::invalid_argument("offsets: expected ascending numbers");
            }
        }
        if (present && (first < 0 || (first + n_ + 7) / 8 > static_cast<int64_t>(present->shape(0)))) {
            throw std::invalid_argument("present: expected one bit for each row");
        }
        column_ = {offsets_.data(), bytes_.data(), present_ ? present_->data() : nullptr, first, n_};
    }

    const vicinal::StringColumn& column() const { return column_; }

private:
    int64_t n_;
    Offsets offsets_;
    Bytes bytes_;
    std::optional<Bytes> present_;
    vicinal::StringColumn column_;
};

nb::tuple string_distances(const std::string& name, const Strings& a, const Strings& b, const std::string& isa,
                           bool all_pairs) {
    const vicinal::StringDistance which = string_distance_of(name);
    const vicinal::StringColumn& x = a.column();
    const vicinal::StringColumn& y = b.column();
    if (!all_pairs && y.n != 1 && y.n != x.n)
        throw std::invalid_argument("b: expected one string, or one for each row of a");
    const auto rows = static_cast<size_t>(x.n), columns = static_cast<size_t>(all_pairs ? y.n : 1);
    auto out = array_of(new float[rows * columns], {rows, columns});
    auto valid = array_of(new uint8_t[rows * columns], {rows, columns});
    {
        const nb::gil_scoped_release release;
        (all_pairs ? vicinal::string_distance_table : vicinal::string_distances)(which, x, y, isa, out.data(),
                                                                                 valid.data());
    }
    return nb::make_tuple(out, valid);
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Exact k nearest neighbours: the C++ kernel.";
    m.def(
        "isas",
        [] {
            nb::list names;
            for (const auto& name : vicinal::isas()) names.append(name);
            return nb::tuple(names);
        },
        "The instruction sets usable here, best first.");
    m.def(
        "int8_roof",
        [](const std::string& isa) {
            const nb::gil_scoped_release release;
            return vicinal::int8_roof(isa);
        },
        "isa"_a = "", "Billions of int8 multiply-and-add operations a second on one core.");
    m.def("pairs", &pairs, "vectors"_a, "inverse_norms"_a, "metric"_a, "queries"_a, "rows"_a, "threads"_a = 0,
          "isa"_a = "", "The rank of each row named for each query, in float64; infinity where the row is -1.");
    nb::class_<Strings>(m, "Strings")
        .def(nb::init<Offsets, Bytes, std::optional<Bytes>, int64_t>(), "offsets"_a, "bytes"_a,
             "present"_a = nb::none(), "first"_a = 0);
    m.def("string_distances", &string_distances, "name"_a, "a"_a, "b"_a, "isa"_a = "", "all_pairs"_a = false,
          "Distances between vectors kept as byte strings, and which are not null: (rows, 1), or all pairs.");
    nb::class_<Index>(m, "Index")
        .def(nb::init<Array, const std::string&, int, const std::string&, int>(), "vectors"_a, "metric"_a,
             "threads"_a = 0, "isa"_a = "", "sketch"_a = -1)
        .def("self_join", &Index::self_join, "k"_a, "groups"_a = nb::none(), "progress"_a = nb::none(),
             "checkpoint"_a = nb::none(), "every"_a = 60.0, "resume"_a = nb::none(), "raw"_a = false)
        .def("search", &Index::search, "queries"_a, "k"_a, "groups"_a = nb::none(), "query_groups"_a = nb::none(),
             "progress"_a = nb::none())
        .def("cross_join", &Index::cross_join, "queries"_a, "limits"_a, "stored_limits"_a,
             "stored_distances"_a.noconvert(), "stored_rows"_a.noconvert(), "first_query"_a = 0,
             "groups"_a = nb::none(), "query_groups"_a = nb::none(), "progress"_a = nb::none())
        .def("within", &Index::within, "radius"_a, "queries"_a = nb::none(), "groups"_a = nb::none(),
             "query_groups"_a = nb::none(), "progress"_a = nb::none())
        .def("stats", &Index::stats);
    nb::class_<Graph>(m, "Graph")
        .def(nb::init<Array, const std::string&, int, const std::string&, const std::optional<Labels>&, int64_t,
                      uint64_t, const nb::object&>(),
             "vectors"_a, "metric"_a, "threads"_a = 0, "isa"_a = "", "groups"_a = nb::none(), "width"_a = 16,
             "seed"_a = 0, "progress"_a = nb::none())
        .def("partition", &Graph::partition, "leaf"_a, "fanout"_a, "progress"_a = nb::none())
        .def("refine", &Graph::refine, "degree"_a, "most"_a, "progress"_a = nb::none())
        .def("neighbours", &Graph::neighbours, "k"_a, "rows"_a = nb::none(), "progress"_a = nb::none())
        .def("pairs", &Graph::pairs)
        .def("changed", &Graph::changed);
    nb::class_<GraphSearch>(m, "GraphSearch")
        .def(nb::init<Graph&, int64_t, const nb::object&>(), "graph"_a, "degree"_a, "progress"_a = nb::none())
        .def(nb::init<int64_t, int, double, double, const Flat<double>&, const Flat<int32_t>&, const Table<uint8_t>&,
                      const Flat<float>&, const Table<int32_t>&, const Flat<int32_t>&, int, const std::string&>(),
             "dim"_a, "max_code"_a, "factor"_a, "scale"_a, "centre"_a, "rows"_a, "codes"_a, "bases"_a, "links"_a,
             "starts"_a, "threads"_a = 0, "isa"_a = "")
        .def("search", &GraphSearch::search, "queries"_a, "k"_a, "width"_a, "allowed"_a = nb::none())
        .def("extend", &GraphSearch::extend, "rows"_a, "width"_a, "progress"_a = nb::none())
        .def("parts", &GraphSearch::parts)
        .def("n", &GraphSearch::n)
        .def("n_bytes", &GraphSearch::n_bytes);
}
