// See pool.hpp.
#include "pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>

namespace vicinal {

using Clock = std::chrono::steady_clock;

Pool::Workers::Workers(int threads) {
    this->threads.reserve(threads);
    for (int i = 0; i < threads; ++i) {
        try {
            this->threads.emplace_back([this, i] { work(i); });
        } catch (const std::system_error& error) {
            if (i == 0) throw std::runtime_error(std::string("no thread can be started: ") + error.what());
            break;
        }
    }
}

Pool::Workers::~Workers() {
    {
        const std::lock_guard lock(mutex);
        exit = true;
    }
    start.notify_all();
    for (auto& thread : threads) thread.join();
}

void Pool::Workers::work(int worker) {
    uint64_t seen = 0;
    for (;;) {
        {
            std::unique_lock lock(mutex);
            start.wait(lock, [&] { return exit || round != seen; });
            if (exit) return;
            seen = round;
        }
        try {
            while (!stop.load(std::memory_order_relaxed) && !pause.load(std::memory_order_relaxed)) {
                const int64_t task = next.fetch_add(1);
                if (task >= count) break;
                (*body)(worker, task);
            }
        } catch (...) {
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
            stop = true;
        }
        const std::lock_guard lock(mutex);
        if (--busy == 0) done.notify_one();
    }
}

Pool::Pool(int threads) {
    if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    workers_ = std::make_unique<Workers>(threads);
    threads_ = static_cast<int>(workers_->threads.size());
    process_ = getpid();
}

Pool::~Pool() {
    if (process_ != getpid()) static_cast<void>(workers_.release());
}

// Starts threads anew in a forked child. There may be fewer than before: per-worker state of the callers stays large
// enough.
void Pool::restart_after_fork() {
    if (process_ == getpid()) return;
    auto own = std::make_unique<Workers>(threads_);
    static_cast<void>(workers_.release());
    workers_ = std::move(own);
    process_ = getpid();
    threads_ = static_cast<int>(workers_->threads.size());
}

void Pool::run(int64_t& next, int64_t count, const Callbacks& callbacks, const std::function<void(int, int64_t)>& body,
               const std::function<void()>& save, int64_t all) {
    restart_after_fork();
    Workers& workers = *workers_;
    auto saved = Clock::now();
    const bool always = save && callbacks.save_interval <= 0;  // save after every round of one task a thread
    while (next < count) {
        std::unique_lock lock(workers.mutex);
        workers.body = &body;
        workers.next = next;
        workers.count = always ? std::min(count, next + threads()) : count;
        workers.stop = workers.pause = false;
        workers.failure = nullptr;
        workers.busy = threads();
        ++workers.round;
        workers.start.notify_all();
        while (!workers.done.wait_for(lock, std::chrono::milliseconds(100), [&] { return workers.busy == 0; })) {
            lock.unlock();
            try {
                if (callbacks.progress) callbacks.progress(std::min(workers.next.load(), count), std::max(count, all));
            } catch (...) {
                lock.lock();
                (save ? workers.pause : workers.stop) = true;
                workers.done.wait(lock, [&] { return workers.busy == 0; });
                if (save && !workers.failure) {
                    next = std::min(workers.next.load(), workers.count);
                    lock.unlock();
                    save();
                }
                throw;
            }
            if (save && std::chrono::duration<double>(Clock::now() - saved).count() >= callbacks.save_interval)
                workers.pause = true;
            lock.lock();
        }
        if (workers.failure) std::rethrow_exception(workers.failure);
        next = std::min(workers.next.load(), workers.count);
        if ((workers.pause || always) && save && next < count) {
            lock.unlock();
            save();
            saved = Clock::now();
        }
    }
}

}  // namespace vicinal
