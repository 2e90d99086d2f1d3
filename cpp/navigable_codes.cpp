// See navigable.hpp: the codes of nodes and queries.
//
// Rows that form groups far from each other are coded from the centre of their group: from one centre for all, rows of
// a group would have equal codes. The centres are rows of a sample, drawn one after the other with a chance in
// proportion to the squared distance from those before (k-means++, Arthur and Vassilvitskii 2007), and moved into the
// middle of what is nearest to them. There is one centre where more of them bring hardly any row much nearer.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "centre.hpp"
#include "navigable.hpp"

namespace vicinal {
namespace {

constexpr int64_t kSample = 2048;
constexpr int64_t kMostCentres = 512;
constexpr int64_t kRowsOfCentre = 4;  // of the sample, at least
constexpr double kUsual = 0.9;        // share of the rows that have to be nearer to several centres than to one
constexpr double kNearlyAll = 0.999;  // share of the rows that have to be near one of several centres
constexpr double kNearer = 1.0 / 4;   // how much nearer they have to be, else there is one centre
constexpr double kEnough = 2;         // fewer centres are taken where the rows are so many times as far
// Where most rows need no centre of their own, a small region far from them may.
constexpr int64_t kFarDrawn = 64;        // so many centres are looked at
constexpr double kFarNearer = 1.0 / 16;  // how much nearer to it the rows around it have to be

float distance(const float* a, const float* b, int64_t width) {
    float lanes[8] = {};
    for (int64_t c = 0; c < width; c += 8) {
        for (int l = 0; l < 8; ++l) lanes[l] += (a[c + l] - b[c + l]) * (a[c + l] - b[c + l]);
    }
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

float product(const float* a, const float* b, int64_t width) {
    float lanes[8] = {};
    for (int64_t c = 0; c < width; c += 8) {
        for (int l = 0; l < 8; ++l) lanes[l] += a[c + l] * b[c + l];
    }
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// A row as factor * (x - origin), in float32.
void take(const Navigable& graph, const RowOps& ops, const Rows& rows, int64_t row, float* out) {
    thread_local std::vector<double> x;
    x.resize(graph.centres.width());
    ops.load(rows, row, x.data());
    ops.centred(x.data(), graph.centres.origin.data(), graph.centres.factor, graph.dim, out);
}

float scale_of(const Navigable& graph, const float* v) {
    float peak = 0;
    for (int64_t c = 0; c < graph.dim; ++c) peak = std::max(peak, std::fabs(v[c]));
    return peak > 1e-30f ? peak / static_cast<float>(graph.centres.max_code) : 1;
}

// The nearest of the centres.
int64_t region_of(const NodeCentres& centres, const float* v) {
    int64_t nearest = 0;
    float least = std::numeric_limits<float>::infinity();
    for (int64_t r = 0; r < centres.regions(); ++r) {
        const float far = distance(v, centres.of(r), centres.width());
        if (far < least) {
            least = far;
            nearest = r;
        }
    }
    return nearest;
}

double quantile(std::vector<float> values, double share) {
    const auto at = values.begin() + static_cast<int64_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

// Those of the drawn centres whose rows are so near to them that codes from the given centre may not tell them apart.
std::vector<int64_t> far_centres(const std::vector<float>& sample, const NodeCentres& centres,
                                 std::vector<int64_t> drawn) {
    const int64_t width = centres.width(), n = static_cast<int64_t>(sample.size()) / width;
    drawn.resize(std::min<size_t>(drawn.size(), kFarDrawn));
    std::vector<std::vector<float>> shares(drawn.size());  // of rows by the nearest centre: how near, of how far
    for (int64_t i = 0; i < n; ++i) {
        const float alone = distance(&sample[i * width], centres.of(0), width);
        float least = alone;
        size_t nearest = drawn.size();
        for (size_t d = 0; d < drawn.size(); ++d) {
            const float own = distance(&sample[i * width], &sample[drawn[d] * width], width);
            if (own >= least) continue;
            least = own;
            nearest = d;
        }
        if (nearest < drawn.size()) shares[nearest].push_back(least / alone);
    }
    std::vector<int64_t> out;
    for (size_t d = 0; d < drawn.size(); ++d) {
        if (static_cast<int64_t>(shares[d].size()) < kRowsOfCentre) continue;
        if (quantile(shares[d], kUsual) <= kFarNearer * kFarNearer) out.push_back(drawn[d]);
    }
    return out;
}

// Rows of the sample that are far from each other, as the first part of a list; the first of all is the given centre.
std::vector<int64_t> draw_centres(const std::vector<float>& sample, const NodeCentres& centres) {
    const int64_t width = centres.width(), n = static_cast<int64_t>(sample.size()) / width;
    std::vector<float> nearest(n);
    for (int64_t i = 0; i < n; ++i) nearest[i] = distance(&sample[i * width], centres.of(0), width);
    const double alone = quantile(nearest, kUsual);
    std::mt19937_64 random(0);
    std::vector<int64_t> drawn;
    std::vector<double> far;  // of nearly all rows, by the number of centres
    for (int64_t most = std::min(n / kRowsOfCentre, kMostCentres); static_cast<int64_t>(drawn.size()) < most;) {
        double all = 0;
        for (const float near : nearest) all += near;
        if (!(all > 0) || !std::isfinite(all)) break;
        double left = all * (static_cast<double>(random() >> 11) * 0x1p-53);
        int64_t next = 0;
        while (next < n - 1 && (left -= nearest[next]) >= 0) ++next;
        drawn.push_back(next);
        for (int64_t i = 0; i < n; ++i)
            nearest[i] = std::min(nearest[i], distance(&sample[i * width], &sample[next * width], width));
        far.push_back(quantile(nearest, kNearlyAll));
    }
    if (far.empty()) return {};
    if (quantile(nearest, kUsual) > kNearer * kNearer * alone) return far_centres(sample, centres, std::move(drawn));
    const auto enough =
        std::find_if(far.begin(), far.end(), [&](double d) { return d <= kEnough * kEnough * far.back(); });
    drawn.resize(enough - far.begin() + 1);
    return drawn;
}

}  // namespace

void Navigable::resize(int64_t n) {
    rows.resize(n);
    codes.resize(n * row_bytes);
    terms.resize(n);
    if (centres.regions() > 1) regions.resize(n);
}

void choose_centres(Navigable& graph, const RowOps& ops, const Rows& rows) {
    NodeCentres& centres = graph.centres;
    const int64_t width = padded(graph.dim, 8), n = std::min(rows.matrix.n_vectors, kSample);
    centres.max_code = static_cast<int>(std::clamp<int64_t>((int64_t{1} << 28) / (255 * graph.dim), 1, 127));
    Centre estimate = find_centre(rows, ops);
    estimate.centre.resize(width);
    centres.factor = estimate.factor;
    centres.origin = graph.products ? std::vector<double>(width) : estimate.centre;
    centres.centres.assign(width, 0);
    if (graph.products) {
        for (int64_t c = 0; c < width; ++c)
            centres.centres[c] = static_cast<float>(centres.factor * estimate.centre[c]);
    }
    std::vector<float> sample(n * width);
    for (int64_t i = 0; i < n; ++i) take(graph, ops, rows, i * rows.matrix.n_vectors / n, &sample[i * width]);
    // The first centre stays: the drawn ones are far from it, and may leave the rows around it without one.
    const std::vector<int64_t> drawn = draw_centres(sample, centres);
    if (drawn.empty()) return;
    for (const int64_t i : drawn) {
        centres.centres.insert(centres.centres.end(), sample.begin() + i * width, sample.begin() + (i + 1) * width);
    }
    std::vector<double> sums(centres.centres.size());
    std::vector<int64_t> counts(centres.regions());
    for (int64_t i = 0; i < n; ++i) {
        const int64_t region = region_of(centres, &sample[i * width]);
        ++counts[region];
        for (int64_t c = 0; c < width; ++c) sums[region * width + c] += sample[i * width + c];
    }
    for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i) {
        if (counts[i / width])
            centres.centres[i] = static_cast<float>(sums[i] / static_cast<double>(counts[i / width]));
    }
}

void code_node(Navigable& graph, const RowOps& ops, const Rows& rows, int64_t row, int64_t node) {
    thread_local std::vector<float> v;
    thread_local std::vector<int8_t> code;
    v.resize(graph.centres.width());
    code.resize(padded(std::max(graph.dim, graph.row_bytes), 64));
    take(graph, ops, rows, row, v.data());
    const int64_t region = graph.regions.empty() ? 0 : region_of(graph.centres, v.data());
    if (!graph.regions.empty()) graph.regions[node] = static_cast<uint16_t>(region);
    const float* const centre = graph.centres.of(region);
    for (int64_t c = 0; c < graph.dim; ++c) v[c] -= centre[c];
    const float scale = scale_of(graph, v.data());
    const CodedRow coded = ops.quantise(v.data(), graph.dim, scale, code.data());
    std::fill(code.begin() + graph.dim, code.end(), int8_t{0});
    for (int64_t c = 0; c < graph.row_bytes; ++c)
        graph.codes[node * graph.row_bytes + c] = static_cast<uint8_t>(code[c]) ^ 0x80;
    const double half = static_cast<double>(scale) * scale * coded.squared_norm / 2;
    graph.terms[node] = {graph.products ? 0 : static_cast<float>(std::min<double>(half, kFarBase)), scale};
}

void Asked::forget(int64_t regions) {
    of.resize(regions);
    for (CodedQuery& one : of) one.coded = false;
}

void ask_row(const Navigable& graph, const RowOps& ops, const Rows& rows, int64_t row, Asked& query) {
    query.forget(graph.centres.regions());
    query.v.resize(graph.centres.width());
    take(graph, ops, rows, row, query.v.data());
}

void ask_node(const Navigable& graph, int64_t node, Asked& query) {
    const int64_t regions = graph.centres.regions(), region = graph.region(node);
    const uint8_t* const code = graph.code(node);
    const NodeTerms terms = graph.terms[node];
    query.forget(regions);
    if (graph.products || regions > 1) {
        query.v.assign(graph.centres.of(region), graph.centres.of(region) + graph.centres.width());
        for (int64_t c = 0; c < graph.dim; ++c) query.v[c] += terms.scale * static_cast<float>(code[c] - 128);
    }
    if (graph.products) return;
    CodedQuery& own = query.of[region];
    own.code.resize(padded(std::max(graph.dim, graph.row_bytes), 64));
    int32_t sum = 0;
    for (int64_t c = 0; c < graph.row_bytes; ++c) {
        own.code[c] = static_cast<int8_t>(code[c] ^ 0x80);
        sum += own.code[c];
    }
    own.factor = terms.scale;
    own.offset = 128 * sum;
    own.gap = terms.base;
    own.coded = true;
}

const CodedQuery& code_query(const Navigable& graph, const RowOps& ops, Asked& query, int64_t region) {
    CodedQuery& own = query.of[region];
    if (own.coded) return own;
    own.coded = true;
    const float* const centre = graph.centres.of(region);
    const int64_t width = graph.centres.width();
    thread_local std::vector<float> v;
    v.assign(query.v.begin(), query.v.end());
    if (graph.products) {
        own.gap = -product(v.data(), centre, width);
    } else {
        for (int64_t c = 0; c < graph.dim; ++c) v[c] -= centre[c];
        own.gap = product(v.data(), v.data(), width) / 2;
    }
    own.code.resize(padded(std::max(graph.dim, graph.row_bytes), 64));
    own.factor = scale_of(graph, v.data());
    own.offset = 128 * ops.quantise(v.data(), graph.dim, own.factor, own.code.data()).sum;
    std::fill(own.code.begin() + graph.dim, own.code.end(), int8_t{0});
    return own;
}

void compare(const Navigable& graph, const RowOps& ops, Asked& query, const std::vector<int32_t>& named, bool whole,
             std::vector<float>& near) {
    const size_t n = named.size();
    near.resize(n);
    query.products.resize(n);
    const auto batch = [&](const CodedQuery& own, const int32_t* nodes, size_t count, float gap, auto place) {
        ops.named_products(own.code.data(), graph.codes.data(), graph.row_bytes, nodes, count, query.products.data());
        for (size_t i = 0; i < count; ++i) {
            near[place(i)] = gap + own.to(graph.terms[nodes[i]], query.products[i]);
        }
    };
    if (graph.regions.empty()) {
        if (!n) return;
        const CodedQuery& own = code_query(graph, ops, query, 0);
        batch(own, named.data(), n, whole ? own.gap : 0, [](size_t i) { return i; });
        return;
    }
    query.order.resize(n);
    for (size_t i = 0; i < n; ++i) query.order[i] = static_cast<int32_t>(i);
    std::stable_sort(query.order.begin(), query.order.end(),
                     [&](int32_t a, int32_t b) { return graph.regions[named[a]] < graph.regions[named[b]]; });
    query.grouped.resize(n);
    for (size_t i = 0; i < n; ++i) query.grouped[i] = named[query.order[i]];
    for (size_t first = 0, last; first < n; first = last) {
        const int region = graph.region(query.grouped[first]);
        for (last = first + 1; last < n && graph.region(query.grouped[last]) == region;) ++last;
        const CodedQuery& own = code_query(graph, ops, query, region);
        batch(own, &query.grouped[first], last - first, own.gap, [&](size_t i) { return query.order[first + i]; });
    }
}

}  // namespace vicinal
