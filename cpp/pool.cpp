// See pool.hpp.
#include "pool.hpp"

#include <algorithm>
#include <chrono>

namespace vicinal {

using Clock = std::chrono::steady_clock;

Pool::Pool(int threads) {
    if (threads <= 0) threads = std::max(1u, std::thread::hardware_concurrency());
    workers_.reserve(threads);
    for (int i = 0; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
    {
        const std::lock_guard lock(mutex_);
        leave_ = true;
    }
    start_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void Pool::work(int worker) {
    uint64_t seen = 0;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            start_.wait(lock, [&] { return leave_ || round_ != seen; });
            if (leave_) return;
            seen = round_;
        }
        try {
            while (!stop_.load(std::memory_order_relaxed) && !pause_.load(std::memory_order_relaxed)) {
                const int64_t task = next_.fetch_add(1);
                if (task >= count_) break;
                (*body_)(worker, task);
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!failure_) failure_ = std::current_exception();
            stop_ = true;
        }
        const std::lock_guard lock(mutex_);
        if (--busy_ == 0) done_.notify_one();
    }
}

void Pool::run(int64_t& next, int64_t count, const std::function<void(int, int64_t)>& body, const Watch& watch,
               const std::function<void()>& save, int64_t all) {
    auto saved = Clock::now();
    const bool always = save && watch.save_every <= 0;  // then each round is one task a thread
    while (next < count) {
        std::unique_lock lock(mutex_);
        body_ = &body;
        next_ = next;
        count_ = always ? std::min(count, next + threads()) : count;
        stop_ = pause_ = false;
        failure_ = nullptr;
        busy_ = threads();
        ++round_;
        start_.notify_all();
        while (!done_.wait_for(lock, std::chrono::milliseconds(100), [&] { return busy_ == 0; })) {
            lock.unlock();
            try {
                if (watch.tick) watch.tick(std::min(next_.load(), count), std::max(count, all));
            } catch (...) {
                lock.lock();
                stop_ = true;
                done_.wait(lock, [&] { return busy_ == 0; });
                throw;
            }
            if (save && std::chrono::duration<double>(Clock::now() - saved).count() >= watch.save_every) pause_ = true;
            lock.lock();
        }
        if (failure_) std::rethrow_exception(failure_);
        next = std::min(next_.load(), count_);
        if ((pause_ || always) && save && next < count) {
            lock.unlock();
            save();
            saved = Clock::now();
        }
    }
}

}  // namespace vicinal
