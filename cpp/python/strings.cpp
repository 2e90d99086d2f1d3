// Distances between vectors that are kept as byte strings.
#include "strings.hpp"
#include "python/arrays.hpp"

namespace vicinal::python {
namespace {

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

void add_strings(nb::module_& m) {
    nb::class_<Strings>(m, "Strings")
        .def(nb::init<Offsets, Bytes, std::optional<Bytes>, int64_t>(), "offsets"_a, "bytes"_a,
             "present"_a = nb::none(), "first"_a = 0);
    m.def("string_distances", &string_distances, "name"_a, "a"_a, "b"_a, "isa"_a = "", "all_pairs"_a = false,
          "Distances between vectors kept as byte strings, and which are not null: (rows, 1), or all pairs.");
}

}  // namespace vicinal::python
