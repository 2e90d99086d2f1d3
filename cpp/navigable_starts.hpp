// The nodes that searches along a graph begin at, packed as a scan reads them: queries are compared with all of them
// together, for there are hundreds.
#pragma once

#include "navigable.hpp"
#include "scan.hpp"

namespace vicinal {

// Queries of one region, coded.
struct CodedQueries {
    int64_t row_bytes = 0;
    std::vector<int8_t> codes;  // row_bytes of each
    std::vector<float> factors;
    std::vector<int32_t> offsets;

    void resize(int64_t n, int64_t bytes);
    void put(int64_t i, const CodedQuery& query);
    void get(int64_t i, CodedQuery& query) const;
};

class PackedStarts {
public:
    // Takes the starts of a graph of one region.
    void pack(const Navigable& graph);
    // Writes the kBegin starts nearest to each of the queries, the nearest first; kNoNode where there are fewer.
    void nearest(const ScanOps& scan, const CodedQueries& queries, int64_t first, int64_t count, int32_t* begin) const;

private:
    std::vector<int32_t> nodes_;
    std::vector<NodeTerms> terms_;
    Lines<uint8_t> panels_;
};

}  // namespace vicinal
