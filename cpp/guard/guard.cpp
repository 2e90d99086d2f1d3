// A SIGBUS in a watched memory map, as a file that shrinks under it raises one, becomes pages of zeros and a mark.
//
// The reader goes on and asks for the mark before it uses what it computed. A fault anywhere else goes to the handler
// that was there before. This is a library of its own, without Python, loaded by vicinal/storage/guard.py.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

namespace {

struct Range {
    std::atomic<uintptr_t> begin{0};
    std::atomic<uintptr_t> end{0};
    std::atomic<bool> hit{false};
};

constexpr int kRanges = 4096;
Range ranges[kRanges];
std::atomic<long> hits{0};
struct sigaction before;
uintptr_t page_size = 4096;

void on_bus(int number, siginfo_t* info, void* context) {
    const auto place = reinterpret_cast<uintptr_t>(info->si_addr);
    for (Range& range : ranges) {
        const uintptr_t begin = range.begin.load(), end = range.end.load();
        if (begin == 0 || place < begin || place >= end) continue;
        const uintptr_t page = place / page_size * page_size;
        void* zeros =
            mmap(reinterpret_cast<void*>(page), end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (zeros == MAP_FAILED) break;
        range.hit.store(true);
        hits.fetch_add(1);
        return;
    }
    if ((before.sa_flags & SA_SIGINFO) != 0) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        signal(number, SIG_DFL);  // the instruction faults again, and ends the process
    }
}

void install() {
    struct sigaction now;
    if (sigaction(SIGBUS, nullptr, &now) != 0) return;
    if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_bus) return;
    page_size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    before = now;
    struct sigaction ours;
    std::memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_bus;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&ours.sa_mask);
    sigaction(SIGBUS, &ours, nullptr);
}

}  // namespace

extern "C" {

// Watches a range of memory; its number, or -1 where too many are watched.
int vicinal_guard_watch(void* begin, size_t length) {
    install();
    for (int i = 0; i < kRanges; ++i) {
        uintptr_t empty = 0;
        if (!ranges[i].begin.compare_exchange_strong(empty, 1)) continue;  // taken, and no address yet
        ranges[i].hit.store(false);
        ranges[i].end.store(reinterpret_cast<uintptr_t>(begin) + length);
        ranges[i].begin.store(reinterpret_cast<uintptr_t>(begin));
        return i;
    }
    return -1;
}

void vicinal_guard_release(int number) {
    ranges[number].end.store(0);
    ranges[number].begin.store(0);
}

int vicinal_guard_was_hit(int number) { return ranges[number].hit.load() ? 1 : 0; }

// How many faults there were in all; 0 says that no range was hit.
long vicinal_guard_hits() { return hits.load(); }
}
