// What the files of the Python module share: arrays, names and callbacks of Python as the kernel takes them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vicinal.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace vicinal::python {

using vicinal::DType;
using vicinal::Metric;
using Array = nb::ndarray<nb::ro, nb::ndim<2>, nb::device::cpu>;
using Labels = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

inline Metric metric_of(const std::string& name) {
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

inline DType dtype_of(nb::dlpack::dtype dtype) {
    using Code = nb::dlpack::dtype_code;
    const auto code = static_cast<Code>(dtype.code);
    if (code == Code::Float && dtype.bits == 16) return DType::f16;
    if (code == Code::Float && dtype.bits == 32) return DType::f32;
    if (code == Code::Float && dtype.bits == 64) return DType::f64;
    if (code == Code::Int && dtype.bits == 8) return DType::i8;
    if (code == Code::UInt && dtype.bits == 8) return DType::u8;
    throw std::invalid_argument("vectors: expected float16, float32, float64, int8 or uint8");
}

inline vicinal::Matrix matrix_of(const Array& array) {
    const auto size = static_cast<int64_t>(array.itemsize());
    return {array.data(),
            static_cast<int64_t>(array.shape(0)),
            static_cast<int64_t>(array.shape(1)),
            array.stride(0) * size,
            array.stride(1) * size,
            dtype_of(array.dtype())};
}

inline const int64_t* labels_of(const std::optional<Labels>& labels, int64_t n, const char* name) {
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
inline vicinal::Callbacks callbacks_of(const nb::object& progress) {
    vicinal::Callbacks callbacks;
    callbacks.progress = [&progress](int64_t done, int64_t total) {
        const nb::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        if (!progress.is_none()) progress(done, total);
    };
    return callbacks;
}

inline std::pair<nb::ndarray<nb::numpy, int64_t>, nb::ndarray<nb::numpy, float>> result(int64_t n, int64_t k) {
    if (k < 1 || (n > 0 && k > std::numeric_limits<int64_t>::max() / 16 / n)) {
        throw std::invalid_argument("k: expected at least 1 and a result that fits in memory, got " +
                                    std::to_string(k));
    }
    const auto rows = static_cast<size_t>(n), width = static_cast<size_t>(k);
    return {array_of(new int64_t[rows * width], {rows, width}), array_of(new float[rows * width], {rows, width})};
}

// Each adds the classes and functions of its file to the module.
void add_index(nb::module_& m);
void add_graph(nb::module_& m);
void add_parts(nb::module_& m);
void add_strings(nb::module_& m);

}  // namespace vicinal::python
