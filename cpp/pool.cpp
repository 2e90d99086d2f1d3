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

Pool::Crew::Crew(int threads) {
    workers.reserve(threads);
    for (int i = 0; i < threads; ++i) {
        try {
            workers.emplace_back([this, i] { work(i); });
        } catch (const std::system_error& error) {
            if (i == 0) throw std::runtime_error(std::string("no thread can be started: ") + error.what());
            break;
        }
    }
}

Pool::Crew::~Crew() {
    {
        const std::lock_guard lock(mutex);
        leave = true;
    }
    start.notify_all();
    for (auto& worker : workers) worker.join();
}

void Pool::Crew::work(int worker) {
    uint64_t seen = 0;
    for (;;) {
        {
            std::unique_lock lock(mutex);
            start.wait(lock, [&] { return leave || round != seen; });
            if (leave) return;
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
    crew_ = std::make_unique<Crew>(threads);
    threads_ = static_cast<int>(crew_->workers.size());
    process_ = getpid();
}

Pool::~Pool() {
    if (process_ != getpid()) static_cast<void>(crew_.release());
}

// In a forked child, threads of its own take the parent's place. What callers keep by worker needs no more than before.
void Pool::own_crew() {
    if (process_ == getpid()) return;
    auto own = std::make_unique<Crew>(threads_);
    static_cast<void>(crew_.release());
    crew_ = std::move(own);
    process_ = getpid();
    threads_ = static_cast<int>(crew_->workers.size());
}

void Pool::run(int64_t& next, int64_t count, const Watch& watch, const std::function<void(int, int64_t)>& body,
               const std::function<void()>& save, int64_t all) {
    own_crew();
    Crew& crew = *crew_;
    auto saved = Clock::now();
    const bool always = save && watch.save_every <= 0;  // then each round is one task a thread
    while (next < count) {
        std::unique_lock lock(crew.mutex);
        crew.body = &body;
        crew.next = next;
        crew.count = always ? std::min(count, next + threads()) : count;
        crew.stop = crew.pause = false;
        crew.failure = nullptr;
        crew.busy = threads();
        ++crew.round;
        crew.start.notify_all();
        while (!crew.done.wait_for(lock, std::chrono::milliseconds(100), [&] { return crew.busy == 0; })) {
            lock.unlock();
            try {
                if (watch.tick) watch.tick(std::min(crew.next.load(), count), std::max(count, all));
            } catch (...) {
                lock.lock();
                crew.stop = true;
                crew.done.wait(lock, [&] { return crew.busy == 0; });
                throw;
            }
            if (save && std::chrono::duration<double>(Clock::now() - saved).count() >= watch.save_every)
                crew.pause = true;
            lock.lock();
        }
        if (crew.failure) std::rethrow_exception(crew.failure);
        next = std::min(crew.next.load(), crew.count);
        if ((crew.pause || always) && save && next < count) {
            lock.unlock();
            save();
            saved = Clock::now();
        }
    }
}

}  // namespace vicinal
