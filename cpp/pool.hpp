// Threads that wait for work, so that a short search does not pay for starting them, and the caller's watch over them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "vicinal.hpp"

namespace vicinal {

class Pool {
public:
    // So many threads, 0 for all processors; fewer where the machine does not give them.
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return threads_; }

    // Runs body(worker, task) for the tasks [next, count), in order of their numbers. The calling thread ticks ten
    // times a second, of `all` tasks where these are not the last. Where the watch wants to save, the workers come to
    // rest at whole tasks first and next says how many are finished. What body or the watch throws stops every worker
    // and is thrown here.
    void run(int64_t& next, int64_t count, const Watch& watch,
             const std::function<void(int worker, int64_t task)>& body, const std::function<void()>& save = {},
             int64_t all = 0);
    void run(int64_t count, const Watch& watch, const std::function<void(int worker, int64_t task)>& body) {
        int64_t next = 0;
        run(next, count, watch, body);
    }

    // True once the running work is to be left; long tasks ask now and then.
    bool stopped() const { return crew_->stop.load(std::memory_order_relaxed); }

private:
    // The threads and all that they see: a forked child has none of its parent's threads, and leaves this behind.
    struct Crew {
        explicit Crew(int threads);
        ~Crew();
        void work(int worker);

        std::mutex mutex;
        std::condition_variable start, done;
        const std::function<void(int, int64_t)>* body = nullptr;
        std::atomic<int64_t> next{0};
        int64_t count = 0;
        uint64_t round = 0;
        int busy = 0;
        bool leave = false;
        std::atomic<bool> stop{false};   // give up
        std::atomic<bool> pause{false};  // come to rest at whole tasks
        std::exception_ptr failure;
        std::vector<std::thread> workers;
    };

    void own_crew();

    std::unique_ptr<Crew> crew_;
    int threads_;
    long process_;
};

}  // namespace vicinal
