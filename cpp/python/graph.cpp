// Approximate graphs: the classes Graph and GraphSearch.
#include <algorithm>

#include "python/arrays.hpp"

namespace vicinal::python {
namespace {

using Bytes = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

class Graph {
public:
    Graph(Array vectors, const std::string& metric, int threads, const std::string& isa,
          const std::optional<Labels>& groups, int64_t width, uint64_t seed, const nb::object& progress,
          std::optional<Bytes> codes)
        : vectors_(std::move(vectors)),
          codes_(std::move(codes)),
          graph_(build(vectors_, metric, threads, isa, groups, width, seed, progress, codes_)) {}

    static int64_t code_bytes(const Array& vectors) { return vicinal::Graph::code_bytes(matrix_of(vectors)); }

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
    nb::tuple neighbours(int64_t k, const std::optional<Labels>& rows, const nb::object& progress, bool reach) {
        const auto n = static_cast<int64_t>(rows ? rows->shape(0) : vectors_.shape(0));
        auto [indices, distances] = result(n, k);
        const size_t size = reach ? static_cast<size_t>(n) : 0;
        auto reaches = array_of(new double[std::max<size_t>(1, size)], {size});
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        {
            const nb::gil_scoped_release release;
            graph_.neighbours(rows ? rows->data() : nullptr, n, k, indices.data(), distances.data(), callbacks,
                              reach ? reaches.data() : nullptr);
        }
        if (reach) return nb::make_tuple(indices, distances, reaches);
        return nb::make_tuple(indices, distances);
    }
    void release() { graph_.release(); }
    int64_t pairs() const { return graph_.pairs(); }
    int64_t changed() const { return graph_.changed(); }
    vicinal::Graph& graph() { return graph_; }

private:
    static vicinal::Graph build(const Array& vectors, const std::string& metric, int threads, const std::string& isa,
                                const std::optional<Labels>& groups, int64_t width, uint64_t seed,
                                const nb::object& progress, const std::optional<Bytes>& codes) {
        const vicinal::Matrix matrix = matrix_of(vectors);
        const Metric which = metric_of(metric);
        if (codes && static_cast<int64_t>(codes->shape(0)) < vicinal::Graph::code_bytes(matrix))
            throw std::invalid_argument("codes: expected a byte for each code");
        uint8_t* const kept = codes ? codes->data() : nullptr;
        const int64_t* labels = labels_of(groups, matrix.n_vectors, "groups");
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        return vicinal::Graph(matrix, which, threads, isa, labels, width, seed, callbacks, kept);
    }

    Array vectors_;
    std::optional<Bytes> codes_;
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
    GraphSearch(Graph& graph, int64_t degree, int64_t width, const nb::object& progress)
        : search_(build(graph, degree, width, progress)) {}

    GraphSearch(const Array& vectors, int64_t degree, int64_t width, int threads, const std::string& isa,
                const nb::object& progress)
        : search_(build(vectors, degree, width, threads, isa, progress)) {}

    GraphSearch(int64_t dim, bool products, int max_code, double factor, const Flat<double>& origin,
                const Table<float>& centres, const Flat<uint16_t>& regions, const Flat<int32_t>& rows,
                const Table<uint8_t>& codes, const Table<float>& terms, const Table<int32_t>& links,
                const Flat<int32_t>& starts, int threads, const std::string& isa)
        : search_(load(dim, products, max_code, factor, origin, centres, regions, rows, codes, terms, links, starts,
                       threads, isa)) {}

    nb::ndarray<nb::numpy, int64_t> search(const Array& queries, int64_t k, int64_t width,
                                           const std::optional<Flat<uint8_t>>& allowed,
                                           const std::optional<Flat<int64_t>>& hidden) {
        const vicinal::Matrix matrix = matrix_of(queries);
        if (hidden && static_cast<int64_t>(hidden->shape(0)) != matrix.n_vectors)
            throw std::invalid_argument("hidden: expected one row for each query");
        if (allowed && 8 * static_cast<int64_t>(allowed->shape(0)) < search_.parts().n)
            throw std::invalid_argument("allowed: expected one bit for each row");
        auto [rows, distances] = result(matrix.n_vectors, k);
        {
            const nb::gil_scoped_release release;
            search_.search(matrix, k, width, allowed ? allowed->data() : nullptr, rows.data(),
                           hidden ? hidden->data() : nullptr);
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
        const auto centres = static_cast<size_t>(parts.n_centres);
        out["products"] = parts.products;
        out["max_code"] = parts.max_code;
        out["factor"] = parts.factor;
        out["origin"] = copy_of(parts.origin, {static_cast<size_t>(parts.dim)});
        out["centres"] = copy_of(parts.centres, {centres, (static_cast<size_t>(parts.dim) + 7) / 8 * 8});
        out["regions"] = copy_of(parts.regions, {centres > 1 ? n : 0});
        out["rows"] = copy_of(parts.rows, {n});
        out["codes"] = copy_of(parts.codes, {n, static_cast<size_t>(parts.row_bytes)});
        out["terms"] = copy_of(parts.terms, {n, 2});
        out["links"] = copy_of(parts.links, {n, static_cast<size_t>(parts.degree)});
        out["starts"] = copy_of(parts.starts, {static_cast<size_t>(parts.n_starts)});
        return out;
    }

    int64_t n() const { return search_.parts().n; }
    bool products() const { return search_.parts().products; }
    int64_t n_bytes() const { return search_.n_bytes(); }

private:
    static vicinal::GraphSearch build(Graph& graph, int64_t degree, int64_t width, const nb::object& progress) {
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        return vicinal::GraphSearch(graph.graph(), degree, width, callbacks);
    }

    static vicinal::GraphSearch build(const Array& vectors, int64_t degree, int64_t width, int threads,
                                      const std::string& isa, const nb::object& progress) {
        const vicinal::Matrix matrix = matrix_of(vectors);
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        const nb::gil_scoped_release release;
        return vicinal::GraphSearch(matrix, degree, width, threads, isa, callbacks);
    }

    static vicinal::GraphSearch load(int64_t dim, bool products, int max_code, double factor,
                                     const Flat<double>& origin, const Table<float>& centres,
                                     const Flat<uint16_t>& regions, const Flat<int32_t>& rows,
                                     const Table<uint8_t>& codes, const Table<float>& terms,
                                     const Table<int32_t>& links, const Flat<int32_t>& starts, int threads,
                                     const std::string& isa) {
        const size_t n = rows.shape(0);
        if (static_cast<int64_t>(origin.shape(0)) != dim || codes.shape(0) != n || terms.shape(0) != n ||
            links.shape(0) != n || terms.shape(1) != 2 || regions.shape(0) != (centres.shape(0) > 1 ? n : 0) ||
            static_cast<int64_t>(centres.shape(1)) != (dim + 7) / 8 * 8)
            throw std::invalid_argument("graph: expected arrays of one length");
        vicinal::GraphParts parts;
        parts.n = static_cast<int64_t>(n);
        parts.dim = dim;
        parts.row_bytes = static_cast<int64_t>(codes.shape(1));
        parts.degree = static_cast<int64_t>(links.shape(1));
        parts.n_starts = static_cast<int64_t>(starts.shape(0));
        parts.n_centres = static_cast<int64_t>(centres.shape(0));
        parts.products = products;
        parts.max_code = max_code;
        parts.factor = factor;
        parts.origin = origin.data();
        parts.centres = centres.data();
        parts.regions = regions.data();
        parts.rows = rows.data();
        parts.codes = codes.data();
        parts.terms = terms.data();
        parts.links = links.data();
        parts.starts = starts.data();
        const nb::gil_scoped_release release;
        return vicinal::GraphSearch(parts, threads, isa);
    }

    vicinal::GraphSearch search_;
};

}  // namespace

void add_graph(nb::module_& m) {
    nb::class_<Graph>(m, "Graph")
        .def(nb::init<Array, const std::string&, int, const std::string&, const std::optional<Labels>&, int64_t,
                      uint64_t, const nb::object&, std::optional<Bytes>>(),
             "vectors"_a, "metric"_a, "threads"_a = 0, "isa"_a = "", "groups"_a = nb::none(), "width"_a = 16,
             "seed"_a = 0, "progress"_a = nb::none(), "codes"_a = nb::none())
        .def_static("code_bytes", &Graph::code_bytes, "vectors"_a)
        .def("partition", &Graph::partition, "leaf"_a, "fanout"_a, "progress"_a = nb::none())
        .def("refine", &Graph::refine, "degree"_a, "most"_a, "progress"_a = nb::none())
        .def("neighbours", &Graph::neighbours, "k"_a, "rows"_a = nb::none(), "progress"_a = nb::none(),
             "reach"_a = false)
        .def("release", &Graph::release)
        .def("pairs", &Graph::pairs)
        .def("changed", &Graph::changed);
    nb::class_<GraphSearch>(m, "GraphSearch")
        .def(nb::init<Graph&, int64_t, int64_t, const nb::object&>(), "graph"_a, "degree"_a, "width"_a,
             "progress"_a = nb::none())
        .def(nb::init<const Array&, int64_t, int64_t, int, const std::string&, const nb::object&>(), "vectors"_a,
             "degree"_a, "width"_a, "threads"_a = 0, "isa"_a = "", "progress"_a = nb::none())
        .def(nb::init<int64_t, bool, int, double, const Flat<double>&, const Table<float>&, const Flat<uint16_t>&,
                      const Flat<int32_t>&, const Table<uint8_t>&, const Table<float>&, const Table<int32_t>&,
                      const Flat<int32_t>&, int, const std::string&>(),
             "dim"_a, "products"_a, "max_code"_a, "factor"_a, "origin"_a, "centres"_a, "regions"_a, "rows"_a, "codes"_a,
             "terms"_a, "links"_a, "starts"_a, "threads"_a = 0, "isa"_a = "")
        .def("search", &GraphSearch::search, "queries"_a, "k"_a, "width"_a, "allowed"_a = nb::none(),
             "hidden"_a = nb::none())
        .def("extend", &GraphSearch::extend, "rows"_a, "width"_a, "progress"_a = nb::none())
        .def("parts", &GraphSearch::parts)
        .def("n", &GraphSearch::n)
        .def("products", &GraphSearch::products)
        .def("n_bytes", &GraphSearch::n_bytes);
}

}  // namespace vicinal::python
