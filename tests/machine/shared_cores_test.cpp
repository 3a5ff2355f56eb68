// SPDX-License-Identifier: Apache-2.0
//
// The CPU policy `shared`: two VMs on the two threads of one core, each with a core-scheduling cookie as the
// broker gives it, never run there at the same time. It needs a kernel with core scheduling and a host with
// siblings (docs/install.md says how to build one), and is skipped elsewhere.
#include <cerrno>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "broker/process_setup.hpp"
#include "support/system.hpp"
#include "tests/machine/test_machine.hpp"

namespace alcove::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

constexpr int kFirst = 2;  // the two threads of the core; the test itself stays on the others
constexpr int kSecond = 3;

void run_on(std::initializer_list<int> cpus) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus)
        CPU_SET(cpu, &set);
    ASSERT_EQ(::sched_setaffinity(0, sizeof set, &set), 0);
}

enum class Cookie { None, Own };

// A VM of one vCPU that spins, in a process of its own.
class Owner {
  public:
    explicit Owner(Cookie cookie) {
        auto ends = sys::socket_pair(SOCK_SEQPACKET).value();
        clock_ = std::move(ends.first);
        pid_ = ::fork();
        if (pid_ == 0) live(cookie, ends.second);
    }
    ~Owner() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;

    bool wait_for_vcpu() {
        const auto deadline = Clock::now() + std::chrono::seconds(30);
        while (Clock::now() < deadline) {
            for (const auto& task : std::filesystem::directory_iterator(tasks())) {
                std::ifstream comm(task.path() / "comm");
                std::string name;
                if (comm >> name && name == "vcpu0") {
                    vcpu_ = std::stoi(task.path().filename());
                    return true;
                }
            }
            std::this_thread::sleep_for(milliseconds(20));
        }
        return false;
    }
    // What its vCPU has run at this very moment. A thread's clock is only its own process's to read.
    nanoseconds ran() const {
        int64_t count = -1;
        EXPECT_EQ(::write(clock_.get(), &vcpu_, sizeof vcpu_), ssize_t{sizeof vcpu_});
        EXPECT_EQ(::read(clock_.get(), &count, sizeof count), ssize_t{sizeof count});
        EXPECT_GE(count, 0);
        return nanoseconds(count);
    }
    pid_t vcpu() const { return vcpu_; }

  private:
    std::filesystem::path tasks() const { return "/proc/" + std::to_string(pid_) + "/task"; }
    [[noreturn]] static void live(Cookie cookie, const Fd& questions) {
        run_on({kFirst, kSecond});
        if (cookie == Cookie::Own && !broker::isolate_siblings()) ::_exit(1);
        std::thread([&questions] {
            run_on({0, 1});
            answer_with_clocks(questions);
        }).detach();
        GuestOptions options{.kernel = "spin.elf"};
        options.deadline = std::chrono::seconds(60);
        ::_exit(run_guest(options) ? 0 : 1);
    }

    static void answer_with_clocks(const Fd& questions) {
        pid_t thread = 0;
        while (::read(questions.get(), &thread, sizeof thread) == sizeof thread) {
            // Linux, include/linux/posix-timers_types.h: a thread's CPUCLOCK_SCHED.
            const auto clock = static_cast<clockid_t>(~static_cast<unsigned>(thread) << 3 | 6U);
            timespec time{};
            const bool known = ::clock_gettime(clock, &time) == 0;
            const int64_t count = known ? int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec : -1;
            if (::write(questions.get(), &count, sizeof count) != sizeof count) return;
        }
    }

    Fd clock_;
    pid_t pid_ = 0;
    pid_t vcpu_ = 0;
};

// Who runs on a CPU, and how often that has changed: Linux 6.12, kernel/sched/debug.c.
struct Runs {
    pid_t thread = -1;
    uint64_t switches = 0;
    bool operator==(const Runs&) const = default;
};

constexpr const char* kDebugFolder = "/sys/kernel/debug";

std::map<int, Runs> who_runs() {
    std::map<int, Runs> found;
    std::ifstream debug(std::string(kDebugFolder) + "/sched/debug");
    int cpu = -1;
    for (std::string line; std::getline(debug, line);) {
        std::istringstream words(line);
        std::string name;
        std::string colon;
        words >> name >> colon;
        if (name.starts_with("cpu#")) cpu = std::stoi(name.substr(4));
        if (name == ".nr_switches") words >> found[cpu].switches;
        if (name == ".curr->pid") words >> found[cpu].thread;
    }
    return found;
}

// Both looks saw the same, so what the first saw on one CPU and then on the other was there at once.
std::optional<std::map<int, Runs>> who_runs_at_once() {
    auto before = who_runs();
    auto after = who_runs();
    for (const int cpu : {kFirst, kSecond})
        if (before[cpu] != after[cpu]) return std::nullopt;
    return after;
}

struct Findings {
    double first = 0;    // of the time, that the first one's vCPU ran
    double second = 0;   //
    double overlap = 0;  // of the time, that both certainly ran
    int samples = 0;     // in which nothing changed while it was looked at
    int both = 0;        // ... of them, with each owner on one of the two threads
};

Findings watch(const Owner& first, const Owner& second) {
    constexpr int kSamples = 150;
    Findings findings;
    nanoseconds overlap{};
    const auto begin = Clock::now();
    const auto first_begin = first.ran();
    const auto second_begin = second.ran();
    for (int i = 0; i < kSamples; ++i) {
        const auto from = Clock::now();
        const auto first_from = first.ran();
        const auto second_from = second.ran();
        std::this_thread::sleep_for(milliseconds(5));
        auto now = who_runs_at_once();
        const auto both = first.ran() - first_from + second.ran() - second_from;
        const auto window = Clock::now() - from;
        overlap += std::max<nanoseconds>(nanoseconds(0), both - window);
        if (!now) continue;
        ++findings.samples;
        const std::set running{(*now)[kFirst].thread, (*now)[kSecond].thread};
        if (running == std::set{first.vcpu(), second.vcpu()}) ++findings.both;
    }
    const auto share = [elapsed = Clock::now() - begin](nanoseconds part) {
        return static_cast<double>(part.count()) / static_cast<double>(nanoseconds(elapsed).count());
    };
    findings.first = share(first.ran() - first_begin);
    findings.second = share(second.ran() - second_begin);
    findings.overlap = share(overlap);
    return findings;
}

class SharedCores : public testing::Test {
  protected:
    void SetUp() override {
        std::ifstream file("/sys/devices/system/cpu/cpu2/topology/thread_siblings_list");
        std::string siblings;
        if (!(file >> siblings) || (siblings != "2-3" && siblings != "2,3"))
            GTEST_SKIP() << "CPUs 2 and 3 are not the threads of one core here: '" << siblings << "'";
        const auto possible = broker::check_siblings_can_be_shared();
        if (!possible)
            GTEST_SKIP() << possible.error().to_string() << " (docs/install.md: CONFIG_SCHED_CORE)";
        const int mounted = ::mount("debugfs", kDebugFolder, "debugfs", 0, nullptr);
        ASSERT_TRUE(mounted == 0 || errno == EBUSY) << "debugfs: " << errno;
        run_on({0, 1});
    }
    static Findings run(Cookie cookie) {
        Owner first(cookie);
        Owner second(cookie);
        EXPECT_TRUE(first.wait_for_vcpu() && second.wait_for_vcpu());
        const auto findings = watch(first, second);
        std::printf(
            "the first ran %.2f of the time, the second %.2f, both at once %.3f; in %d samples of %d\n",
            findings.first, findings.second, findings.overlap, findings.both, findings.samples);
        EXPECT_GT(findings.samples, 20);
        return findings;
    }
};

// What the next test has to be able to see.
TEST_F(SharedCores, WithoutCookiesTwoVmsRunOnSiblingsAtOnce) {
    const auto findings = run(Cookie::None);

    EXPECT_GT(findings.overlap, 0.5);
    EXPECT_GT(findings.both, findings.samples / 2);
    EXPECT_GT(findings.first + findings.second, 1.5);
}

// The kernel tells a sibling by an interrupt to make way: so long, at each change of turns, both may run.
TEST_F(SharedCores, TwoOwnersNeverRunOnSiblingsAtOnce) {
    const auto findings = run(Cookie::Own);

    EXPECT_LT(findings.overlap, 0.05);
    EXPECT_LE(findings.both, findings.samples / 20);
    EXPECT_LT(findings.first + findings.second, 1.1);
    EXPECT_GT(findings.first, 0.2);
    EXPECT_GT(findings.second, 0.2);
}

}  // namespace
}  // namespace alcove::tests
