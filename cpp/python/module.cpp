// The Python module of the kernel: converts arrays, and releases the GIL during calls.
#include "python/arrays.hpp"

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
    vicinal::python::add_index(m);
    vicinal::python::add_strings(m);
    vicinal::python::add_graph(m);
    vicinal::python::add_parts(m);
}
