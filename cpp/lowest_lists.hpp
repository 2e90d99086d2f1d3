// The k lowest values of each list, in no order, kept up to date now and then.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

namespace vicinal {

class LowestLists {
public:
    LowestLists(int64_t lists, int64_t k)
        : k_(k),
          room_(k + (k + 1) / 2),
          sizes_(lists),
          values_(std::make_unique_for_overwrite<float[]>(lists * room_)) {}

    // Adds a value. Returns the k-th lowest where it has been found anew, else infinity.
    float add(int64_t list, float value) {
        uint32_t& size = sizes_[list];
        values_[list * room_ + size++] = value;
        return size == k_ || size == room_ ? highest(list) : std::numeric_limits<float>::infinity();
    }
    // The k-th lowest value; infinity where there are fewer.
    float highest(int64_t list) {
        if (sizes_[list] < k_) return std::numeric_limits<float>::infinity();
        float* own = &values_[list * room_];
        std::nth_element(own, own + (k_ - 1), own + sizes_[list]);
        sizes_[list] = static_cast<uint32_t>(k_);
        return own[k_ - 1];
    }

private:
    int64_t k_, room_;
    std::vector<uint32_t> sizes_;
    std::unique_ptr<float[]> values_;
};

}  // namespace vicinal
