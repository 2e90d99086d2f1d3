// Lists of joins in parts: what of them is sent, and merging it.
#include "parts.hpp"

#include "python/arrays.hpp"

namespace vicinal::python {
namespace {

template <class T>
using Line = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Table = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

nb::tuple entries_within(const Table<int64_t>& distances, const Table<float>& rows, const Line<double>& limits) {
    const auto n = static_cast<int64_t>(distances.shape(0)), k = static_cast<int64_t>(distances.shape(1));
    if (rows.shape(0) != distances.shape(0) || rows.shape(1) != distances.shape(1))
        throw std::invalid_argument("lists: expected two arrays of one shape (n, k)");
    if (static_cast<int64_t>(limits.shape(0)) != n) throw std::invalid_argument("limits: expected one for each list");
    vicinal::Entries found;
    {
        const nb::gil_scoped_release release;
        found = vicinal::entries_within({distances.data(), rows.data(), limits.data()}, n, k);
    }
    return nb::make_tuple(array_of(std::move(found.counts)), array_of(std::move(found.rows)),
                          array_of(std::move(found.distances)));
}

void check(int64_t lists, const vicinal::NewEntries& entries, size_t all) {
    int64_t counted = 0;
    for (int64_t i = 0; i < entries.n; ++i) {
        const bool valid = entries.lists[i] >= 0 && entries.lists[i] < lists && entries.counts[i] >= 0 &&
                           entries.counts[i] <= static_cast<int64_t>(all) - counted;
        if (!valid) throw std::invalid_argument("entries: expected lists that there are, and as many entries as named");
        counted += entries.counts[i];
    }
    if (counted != static_cast<int64_t>(all)) throw std::invalid_argument("entries: expected as many as are named");
}

template <class Row>
void merge_entries(const Table<double>& distances, const Table<Row>& rows, const Line<int64_t>& lists,
                   const Line<int64_t>& counts, const Line<uint32_t>& others, const Line<double>& far, uint64_t first) {
    if (rows.shape(0) != distances.shape(0) || rows.shape(1) != distances.shape(1) || rows.shape(1) < 1)
        throw std::invalid_argument("lists: expected two arrays of one shape (n, k)");
    if (lists.size() != counts.size() || others.size() != far.size())
        throw std::invalid_argument("entries: expected a count for each list, and a distance for each row");
    const vicinal::NewEntries entries{lists.data(),  counts.data(), static_cast<int64_t>(lists.size()),
                                      others.data(), far.data(),    first};
    const nb::gil_scoped_release release;
    check(static_cast<int64_t>(rows.shape(0)), entries, others.size());
    vicinal::merge_entries<Row>({distances.data(), rows.data(), static_cast<int64_t>(rows.shape(1))}, entries);
}

}  // namespace

void add_parts(nb::module_& m) {
    m.def("entries_within", &entries_within, "distances"_a, "rows"_a, "limits"_a,
          "How many entries of each raw list are within its limit; their rows and distances, list after list.");
    constexpr const char* kHelp =
        "Takes up entries in sorted lists; the rows of the entries are numbered from first on.";
    m.def("merge_entries", &merge_entries<uint32_t>, "distances"_a.noconvert(), "rows"_a.noconvert(), "lists"_a,
          "counts"_a, "others"_a, "far"_a, "first"_a, kHelp);
    m.def("merge_entries", &merge_entries<uint64_t>, "distances"_a.noconvert(), "rows"_a.noconvert(), "lists"_a,
          "counts"_a, "others"_a, "far"_a, "first"_a, kHelp);
}

}  // namespace vicinal::python
