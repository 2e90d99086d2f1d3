// See graph_join.hpp.
#include "graph_join.hpp"

#include <numeric>
#include <stdexcept>

#include "graph_worker.hpp"

namespace vicinal {
namespace {

constexpr int64_t kBlock = 64;            // nodes that lie near each other
constexpr int64_t kSortLeaders = 256;     // of the first level of the order of nodes
constexpr int64_t kChunk = 4 * kRowStep;  // nodes in a task
constexpr int64_t kSplitLeaders = kPanel;
constexpr const char* kReleased = "graph: its codes were given back; make another one";

// A hash of a few numbers (splitmix64).
uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// One random number of each of `count` equal parts of [0, n), ascending.
std::vector<int32_t> pick(int64_t n, int64_t count, uint64_t seed) {
    std::vector<int32_t> out(count);
    for (int64_t i = 0; i < count; ++i) {
        const int64_t first = i * n / count, last = (i + 1) * n / count;
        out[i] = static_cast<int32_t>(first + mix(seed ^ mix(i)) % (last - first));
    }
    return out;
}

}  // namespace

GraphJoin::GraphJoin(const Rows& rows, std::vector<int32_t> which, Metric metric, const Coder& coder, const Isa& isa,
                     const int64_t* groups, const GraphSettings& settings, Pool& pool, const Callbacks& callbacks)
    : scan_(coder.scan(isa)),
      pool_(pool),
      groups_(groups),
      seed_(mix(settings.seed)),
      codes_(rows, std::move(which), metric, coder, isa, pool, callbacks, settings.codes),
      lists_(codes_.size(), settings.width) {
    for (int i = 0; i < pool.threads(); ++i) workers_.push_back(std::make_unique<Worker>(codes_));
    sort_nodes(callbacks);
}

GraphJoin::~GraphJoin() = default;

void GraphJoin::release() {
    released_ = true;
    codes_.release();
    links_ = {};
    workers_.clear();
}

// Calls use(row, leader keys) with the `fanout` nearest leaders of each of the patch's rows, nearest first.
void GraphJoin::nearest_leaders(Worker& worker, const Patch& leaders, int64_t fanout) const {
    const Patch& patch = worker.patch;
    const int64_t n = patch.rows();
    worker.nearest.assign(n * fanout, kNoKey);
    worker.worst.assign(padded(n, kRowStep), ~Rank{0});
    ScanJob job = {};
    for (int64_t first = 0; first < n; first += kRowStep) {
        for (int64_t panel = 0; panel * kPanel < leaders.columns(); ++panel) {
            patch.put_rows(job, first, scan_.row_step, &worker.worst[first], worker.row_thresholds);
            leaders.put_columns(job, panel, nullptr, worker.column_thresholds);
            const size_t passed = scan_.survivors(job, worker.survivors.data());
            for (size_t i = 0; i < passed; ++i) {
                const Survivor s = worker.survivors[i];
                const int64_t row = first + s.row, leader = panel * kPanel + s.column;
                if (row >= n || leader >= leaders.columns()) continue;
                const Rank rank = codes_.rank(s.score, patch.base(row), leaders.column_base(leader));
                Key* const own = &worker.nearest[row * fanout];
                if (insert_key(own, fanout, key_of(rank, static_cast<int32_t>(leader))))
                    worker.worst[row] = rank_of(own[fanout - 1]);
            }
        }
    }
}

// Splits nodes by random leaders among them until each part has at most `most`.
void GraphJoin::split(Worker& worker, const std::vector<int32_t>& nodes, int64_t most, uint64_t salt,
                      std::vector<std::vector<int32_t>>& out) const {
    const auto n = static_cast<int64_t>(nodes.size());
    if (n == 0) return;
    if (n <= most) return out.push_back(nodes);
    const int64_t count = std::clamp<int64_t>(2 * n / most, 2, kSplitLeaders);
    std::vector<int32_t> leaders = pick(n, count, salt);
    for (int32_t& leader : leaders) leader = nodes[leader];
    std::vector<std::vector<int32_t>> parts(count);
    {
        Patch columns(codes_);
        columns.gather_columns(leaders.data(), count);
        for (int64_t first = 0; first < n; first += kChunk) {
            const int64_t size = std::min(kChunk, n - first);
            worker.patch.gather_rows(&nodes[first], size);
            nearest_leaders(worker, columns, 1);
            for (int64_t i = 0; i < size; ++i) parts[node_of(worker.nearest[i])].push_back(nodes[first + i]);
        }
    }
    // Nodes that no leader separates, such as nodes of equal codes, are cut into equal parts.
    const bool same = std::any_of(parts.begin(), parts.end(),
                                  [&](const auto& part) { return static_cast<int64_t>(part.size()) == n; });
    if (same) {
        for (int64_t first = 0; first < n; first += most)
            out.emplace_back(nodes.begin() + first, nodes.begin() + std::min(n, first + most));
        return;
    }
    for (const auto& part : parts) split(worker, part, most, mix(salt), out);
}

// Assigns all nodes to the cells of their nearest leaders.
GraphJoin::Cells GraphJoin::assign(int64_t leaders, int64_t fanout, uint64_t salt, const Callbacks& callbacks) {
    const int64_t n = codes_.size();
    const std::vector<int32_t> picked = pick(n, leaders, salt);
    Patch columns(codes_);
    columns.gather_columns(picked.data(), leaders);
    std::vector<int32_t> cell_of(n * fanout);
    pool_.run((n + kChunk - 1) / kChunk, callbacks, [&](int number, int64_t task) {
        Worker& worker = *workers_[number];
        const int64_t first = task * kChunk, size = std::min(kChunk, n - first);
        worker.nodes.resize(size);
        std::iota(worker.nodes.begin(), worker.nodes.end(), static_cast<int32_t>(first));
        worker.patch.gather_rows(worker.nodes.data(), size);
        nearest_leaders(worker, columns, fanout);
        for (int64_t i = 0; i < size * fanout; ++i) {
            const Key key = worker.nearest[i];
            cell_of[first * fanout + i] = key == kNoKey ? -1 : node_of(key);
        }
    });
    pairs_ += n * leaders;
    Cells cells;
    cells.starts.assign(leaders + 1, 0);
    for (const int32_t cell : cell_of) {
        if (cell >= 0) ++cells.starts[cell + 1];
    }
    std::partial_sum(cells.starts.begin(), cells.starts.end(), cells.starts.begin());
    cells.members.resize(cells.starts.back());
    std::vector<int64_t> next(cells.starts.begin(), cells.starts.end() - 1);
    for (size_t i = 0; i < cell_of.size(); ++i) {
        if (cell_of[i] >= 0) cells.members[next[cell_of[i]]++] = static_cast<int32_t>(i / fanout);
    }
    return cells;
}

// Renumbers the nodes so that those near each other have numbers near each other.
void GraphJoin::sort_nodes(const Callbacks& callbacks) {
    const int64_t n = codes_.size();
    if (n <= kBlock) return;
    const int64_t leaders = std::min(kSortLeaders, std::max<int64_t>(2, n / kBlock));
    const Cells cells = assign(leaders, 1, mix(seed_), callbacks);
    std::vector<std::vector<int32_t>> parts(leaders);
    pool_.run(leaders, callbacks, [&](int number, int64_t cell) {
        std::vector<std::vector<int32_t>> pieces;
        split(*workers_[number], cells.of(cell), kBlock, mix(seed_ ^ (cell + 1)), pieces);
        for (const auto& piece : pieces) parts[cell].insert(parts[cell].end(), piece.begin(), piece.end());
    });
    std::vector<int32_t> order;
    order.reserve(n);
    for (const auto& part : parts) order.insert(order.end(), part.begin(), part.end());
    codes_.renumber(order);
}

void GraphJoin::partition(int64_t leaf, int64_t fanout, const Callbacks& callbacks) {
    if (released_) throw std::logic_error(kReleased);
    const int64_t n = codes_.size(), leaders = std::max<int64_t>(1, n / leaf);
    const uint64_t salt = mix(seed_ + ++calls_);
    changed_ = 0;
    const Cells cells = assign(leaders, std::min(fanout, leaders), salt, callbacks);
    pool_.run(leaders, callbacks, [&](int number, int64_t cell) {
        Worker& worker = *workers_[number];
        std::vector<std::vector<int32_t>> pieces;
        split(worker, cells.of(cell), 2 * leaf * std::min(fanout, leaders), mix(salt ^ (cell + 1)), pieces);
        for (const auto& piece : pieces) {
            if (!pool_.stopped()) join_cell(worker, piece);
        }
    });
}

// Joins all pairs of a few nodes.
void GraphJoin::join_cell(Worker& worker, const std::vector<int32_t>& nodes) {
    const auto n = static_cast<int64_t>(nodes.size());
    const int64_t width = lists_.width();
    Patch& patch = worker.patch;
    patch.gather_rows(nodes.data(), n);
    patch.gather_columns(nodes.data(), n);
    worker.take_lists(lists_, nodes.data(), n);
    ScanJob job = {};
    const auto tile = [&](int64_t first, int64_t panel) {
        patch.put_rows(job, first, scan_.row_step, &worker.worst[first], worker.row_thresholds);
        patch.put_columns(job, panel, &worker.worst[panel * kPanel], worker.column_thresholds);
        const size_t passed = scan_.survivors(job, worker.survivors.data());
        for (size_t s = 0; s < passed; ++s) {
            const int64_t i = first + worker.survivors[s].row, j = panel * kPanel + worker.survivors[s].column;
            if (i >= j || j >= n || !allowed(nodes[i], nodes[j])) continue;
            const Rank rank = codes_.rank(worker.survivors[s].score, patch.base(i), patch.column_base(j));
            worker.offer(i, key_of(rank, nodes[j]), width);
            worker.offer(j, key_of(rank, nodes[i]), width);
        }
    };
    const int64_t panels = (n + kPanel - 1) / kPanel;
    // The tiles on the diagonal first: neighbouring numbers are near each other, so that thresholds become low.
    const auto diagonal = [&](int64_t first) { return std::min(panels, (first + kRowStep + kPanel - 1) / kPanel); };
    for (int64_t first = 0; first < n; first += kRowStep) {
        for (int64_t panel = first / kPanel; panel < diagonal(first); ++panel) tile(first, panel);
    }
    for (int64_t first = 0; first < n; first += kRowStep) {
        for (int64_t panel = diagonal(first); panel < panels; ++panel) tile(first, panel);
    }
    pairs_ += n * n / 2;
    changed_ += worker.give_lists(lists_, nodes.data(), n);
}

void GraphJoin::refine(int64_t degree, int64_t most, const Callbacks& callbacks) {
    if (released_) throw std::logic_error(kReleased);
    const int64_t n = codes_.size();
    degree = std::min(degree, lists_.width());
    if (degree_ != degree) {
        degree_ = degree;
        links_.assign(n * degree, kNoLink);
    }
    changed_ = 0;
    pool_.run((n + kChunk - 1) / kChunk, callbacks, [&](int, int64_t task) {
        std::vector<uint32_t> before(degree);
        for (int64_t node = task * kChunk; node < std::min(n, (task + 1) * kChunk); ++node) {
            uint32_t* const own = &links_[node * degree];
            for (int64_t i = 0; i < degree; ++i) before[i] = own[i] == kNoLink ? kNoLink : own[i] & ~kNew;
            for (int64_t i = 0; i < degree; ++i) {
                const Key key = lists_.at(node)[i];
                if (key == kNoKey) {
                    own[i] = kNoLink;
                    continue;
                }
                const auto to = static_cast<uint32_t>(node_of(key));
                const bool old = std::find(before.begin(), before.end(), to) != before.end();
                own[i] = old ? to : to | kNew;
            }
        }
    });
    pool_.run((n + kBlock - 1) / kBlock, callbacks, [&](int number, int64_t block) {
        refine_block(*workers_[number], block * kBlock, std::min(n, (block + 1) * kBlock), most);
    });
}

// The nodes that the nodes of a block are compared with, ascending: at most `most`, those that most paths lead to.
void GraphJoin::find_candidates(Worker& worker, int64_t first, int64_t last, int64_t most) const {
    Counts& counts = worker.counts;
    counts.clear();
    for (int64_t node = first; node < last; ++node) {
        for (int64_t i = 0; i < degree_; ++i) {
            const uint32_t link = links_[node * degree_ + i];
            if (link == kNoLink) break;
            if (link & kNew) counts.add(link & ~kNew);
            const uint32_t* const others = &links_[(link & ~kNew) * degree_];
            for (int64_t j = 0; j < degree_; ++j) {
                if (others[j] == kNoLink) break;
                if ((link | others[j]) & kNew) counts.add(others[j] & ~kNew);
            }
        }
    }
    counts.take(most, worker.nodes);
}

void GraphJoin::refine_block(Worker& worker, int64_t first, int64_t last, int64_t most) {
    const int64_t width = lists_.width(), size = last - first;
    find_candidates(worker, first, last, most);
    std::vector<int32_t>& others = worker.nodes;
    if (others.empty()) return;
    std::vector<int32_t> own(size);
    std::iota(own.begin(), own.end(), static_cast<int32_t>(first));
    worker.take_lists(lists_, own.data(), size);
    Patch& patch = worker.patch;
    patch.gather_columns(own.data(), size);
    const auto n = static_cast<int64_t>(others.size());
    ScanJob job = {};
    worker.other_worst.resize(kRowStep);
    for (int64_t begin = 0; begin < n; begin += kRowStep) {
        const int64_t count = std::min<int64_t>(kRowStep, n - begin);
        patch.gather_rows(&others[begin], count);
        for (int64_t i = 0; i < count; ++i) worker.other_worst[i] = lists_.worst(others[begin + i]);
        patch.put_rows(job, 0, scan_.row_step, worker.other_worst.data(), worker.row_thresholds);
        patch.put_columns(job, 0, worker.worst.data(), worker.column_thresholds);
        const size_t passed = scan_.survivors(job, worker.survivors.data());
        for (size_t s = 0; s < passed; ++s) {
            const int64_t i = worker.survivors[s].row, j = worker.survivors[s].column;
            if (i >= count || j >= size) continue;
            const int32_t other = others[begin + i];
            if (other == own[j] || !allowed(other, own[j])) continue;
            const Rank rank = codes_.rank(worker.survivors[s].score, patch.base(i), patch.column_base(j));
            worker.offer(j, key_of(rank, other), width);
            if (rank > worker.other_worst[i]) continue;
            const Key key = key_of(rank, own[j]);
            changed_ += lists_.insert(other, &key, 1);
        }
    }
    pairs_ += n * size;
    changed_ += worker.give_lists(lists_, own.data(), size);
}

}  // namespace vicinal
