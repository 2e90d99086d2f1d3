// A pool of threads that lives as long as its index, so that a short search does not start threads, and the callbacks
// to the caller.
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
    // threads 0 takes all processors. The pool has fewer threads where the system refuses to start more.
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return threads_; }

    // Runs body(worker, task) for the tasks [next, count) in ascending order. The calling thread calls
    // callbacks.progress ten times a second, with the total `all` if further runs follow. To save, the workers finish
    // their tasks and pause; `next` is then the number of finished tasks. An exception of body or of a callback stops
    // all workers and is rethrown here; what is finished when `progress` throws is saved first.
    void run(int64_t& next, int64_t count, const Callbacks& callbacks,
             const std::function<void(int worker, int64_t task)>& body, const std::function<void()>& save = {},
             int64_t all = 0);
    void run(int64_t count, const Callbacks& callbacks, const std::function<void(int worker, int64_t task)>& body) {
        int64_t next = 0;
        run(next, count, callbacks, body);
    }

    // Whether the run is being stopped; long tasks check it.
    bool stopped() const { return workers_->stop.load(std::memory_order_relaxed); }

private:
    // The threads and their shared state. A forked child has none of these threads, so it abandons this object.
    struct Workers {
        explicit Workers(int threads);
        ~Workers();
        void work(int worker);

        std::mutex mutex;
        std::condition_variable start, done;
        const std::function<void(int, int64_t)>* body = nullptr;
        std::atomic<int64_t> next{0};
        int64_t count = 0;
        uint64_t round = 0;
        int busy = 0;
        bool exit = false;
        std::atomic<bool> stop{false};   // stop now, results are discarded
        std::atomic<bool> pause{false};  // stop after the current tasks
        std::exception_ptr failure;
        std::vector<std::thread> threads;
    };

    void restart_after_fork();

    std::unique_ptr<Workers> workers_;
    int threads_;
    long process_;
};

}  // namespace vicinal
