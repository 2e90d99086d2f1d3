// Threads that wait for work, so that a short search does not pay for starting them, and the caller's watch over them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "vicinal.hpp"

namespace vicinal {

class Pool {
public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return static_cast<int>(workers_.size()); }

    // Runs body(worker, task) for the tasks [next, count), in order of their numbers. The calling thread ticks ten times
    // a second, of `all` tasks where these are not the last. Where the watch wants to save, the workers come to rest at whole tasks first and next says how many are
    // finished. What body or the watch throws stops every worker and is thrown here.
    void run(int64_t& next, int64_t count, const std::function<void(int worker, int64_t task)>& body,
             const Watch& watch, const std::function<void()>& save = {}, int64_t all = 0);
    void run(int64_t count, const std::function<void(int worker, int64_t task)>& body, const Watch& watch = {}) {
        int64_t next = 0;
        run(next, count, body, watch);
    }

    // True once the running work is to be left; long tasks ask now and then.
    bool stopped() const { return stop_.load(std::memory_order_relaxed); }

private:
    void work(int worker);

    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable start_, done_;
    const std::function<void(int, int64_t)>* body_ = nullptr;
    std::atomic<int64_t> next_{0};
    int64_t count_ = 0;
    uint64_t round_ = 0;
    int busy_ = 0;
    bool leave_ = false;
    std::atomic<bool> stop_{false};   // give up
    std::atomic<bool> pause_{false};  // come to rest at whole tasks
    std::exception_ptr failure_;
};

}  // namespace vicinal
