// Exact passes: the class Index, and distances of named pairs.
#include "python/arrays.hpp"

namespace vicinal::python {
namespace {

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

    nb::tuple self_join_share(int64_t k, const std::optional<Limits>& limits, int64_t ranges, bool further,
                              int64_t first, int64_t last, int64_t of, const std::optional<Labels>& groups,
                              const nb::object& progress) {
        const auto n = static_cast<int64_t>(vectors_.shape(0));
        const int64_t* labels = labels_of(groups, n, "groups");
        if (limits && static_cast<int64_t>(limits->shape(0)) != n)
            throw std::invalid_argument("limits: expected one for each row");
        std::vector<double> none;
        if (!limits) none.assign(n, std::numeric_limits<double>::infinity());
        const vicinal::Callbacks callbacks = callbacks_of(progress);
        vicinal::Entries found;
        uint64_t layout = 0;
        {
            const nb::gil_scoped_release release;
            found = index_.self_join_share(k, labels, {ranges, further, first, last, of},
                                           limits ? limits->data() : none.data(), layout, callbacks);
        }
        return nb::make_tuple(array_of(std::move(found.counts)), array_of(std::move(found.rows)),
                              array_of(std::move(found.distances)), layout);
    }

    void prepare_shares(int64_t k, const std::optional<Labels>& groups) {
        const int64_t* labels = labels_of(groups, static_cast<int64_t>(vectors_.shape(0)), "groups");
        const nb::object nothing = nb::none();
        const vicinal::Callbacks callbacks = callbacks_of(nothing);
        const nb::gil_scoped_release release;
        index_.prepare_shares(k, labels, callbacks);
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

}  // namespace

void add_index(nb::module_& m) {
    m.def("pairs", &pairs, "vectors"_a, "inverse_norms"_a, "metric"_a, "queries"_a, "rows"_a, "threads"_a = 0,
          "isa"_a = "", "The rank of each row named for each query, in float64; infinity where the row is -1.");
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
        .def("prepare_shares", &Index::prepare_shares, "k"_a, "groups"_a = nb::none())
        .def("share_self_join", &Index::self_join_share, "k"_a, "limits"_a, "ranges"_a, "further"_a, "first"_a,
             "last"_a, "of"_a, "groups"_a = nb::none(), "progress"_a = nb::none())
        .def("within", &Index::within, "radius"_a, "queries"_a = nb::none(), "groups"_a = nb::none(),
             "query_groups"_a = nb::none(), "progress"_a = nb::none())
        .def("stats", &Index::stats);
}

}  // namespace vicinal::python
