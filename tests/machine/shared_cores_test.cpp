// SPDX-License-Identifier: Apache-2.0
//
// The CPU policy `shared`: two VMs on the two threads of one core, each with a core-scheduling cookie as the
// broker gives it, never run there at the same time. It needs a kernel with core scheduling and a host with
// siblings (docs/install.md says how to build one), and is skipped elsewhere.
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <sched.h>
#include <sys/prctl.h>
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

// Nanoseconds: what a thread has run, and when that was read.
struct Reading {
    int64_t ran;
    int64_t at;
};

// Where a thread is, or waits to be.
struct Place {
    bool runnable = false;
    int cpu = -1;
};

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
    void ask() const { EXPECT_EQ(::write(clock_.get(), &vcpu_, sizeof vcpu_), ssize_t{sizeof vcpu_}); }
    Reading answer() const {
        Reading reading{};
        EXPECT_EQ(::read(clock_.get(), &reading, sizeof reading), ssize_t{sizeof reading});
        EXPECT_GE(reading.ran, 0);
        return reading;
    }
    // Of its vCPU's thread; 0: none.
    unsigned long cookie() const {
        unsigned long cookie = 0;
        EXPECT_EQ(::prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, vcpu_, PR_SCHED_CORE_SCOPE_THREAD, &cookie), 0);
        return cookie;
    }
    // proc(5), fields 3 and 39.
    Place place() const {
        Place place;
        std::ifstream stat(tasks() / std::to_string(vcpu_) / "stat");
        std::string word;
        for (int field = 1; field <= 39; ++field) {
            stat >> word;
            if (field == 3) place.runnable = word == "R";
        }
        place.cpu = std::stoi(word);
        return place;
    }

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

    static Reading read_clock(pid_t thread) {
        // Linux, include/linux/posix-timers_types.h: a thread's CPUCLOCK_SCHED.
        const auto clock = static_cast<clockid_t>(~static_cast<unsigned>(thread) << 3 | 6U);
        timespec time{};
        const bool known = ::clock_gettime(clock, &time) == 0;
        return {.ran = known ? int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec : -1,
                .at = nanoseconds(Clock::now().time_since_epoch()).count()};
    }
    static void answer_with_clocks(const Fd& questions) {
        pid_t thread = 0;
        while (::read(questions.get(), &thread, sizeof thread) == sizeof thread) {
            const auto reading = read_clock(thread);
            if (::write(questions.get(), &reading, sizeof reading) != sizeof reading) return;
        }
    }

    Fd clock_;
    pid_t pid_ = 0;
    pid_t vcpu_ = 0;
};

struct Findings {
    double first = 0;    // of the time, that the first one's vCPU ran
    double second = 0;   //
    double overlap = 0;  // of the time, that both certainly ran
    int clear = 0;       // samples that both were seen in, for most of the same time
    int together = 0;    // of those, in which both ran on two CPUs, for a quarter of the time or more
    std::set<int> cpus;
};

std::pair<Reading, Reading> ask_both(const Owner& first, const Owner& second) {
    first.ask();
    second.ask();
    const auto one = first.answer();
    return {one, second.answer()};
}

Findings watch(const Owner& first, const Owner& second) {
    constexpr int kSamples = 300;
    Findings findings;
    int64_t overlap = 0;
    int64_t watched = 0;
    const auto [first_begin, second_begin] = ask_both(first, second);
    auto [first_from, second_from] = ask_both(first, second);
    for (int i = 0; i < kSamples; ++i) {
        std::this_thread::sleep_for(milliseconds(10));
        const auto one = first.place();
        const auto other = second.place();
        findings.cpus.insert({one.cpu, other.cpu});
        const auto [first_to, second_to] = ask_both(first, second);
        const auto whole = std::max(first_to.at, second_to.at) - std::min(first_from.at, second_from.at);
        const auto common = std::min(first_to.at, second_to.at) - std::max(first_from.at, second_from.at);
        const auto both =
            std::max<int64_t>(0, first_to.ran - first_from.ran + second_to.ran - second_from.ran - whole);
        watched += whole;
        overlap += both;
        if (common * 2 >= whole) {
            ++findings.clear;
            if (one.runnable && other.runnable && one.cpu != other.cpu && both * 4 >= whole)
                ++findings.together;
        }
        first_from = first_to;
        second_from = second_to;
    }
    const auto share = [](const Reading& from, const Reading& to) {
        return static_cast<double>(to.ran - from.ran) / static_cast<double>(to.at - from.at);
    };
    findings.first = share(first_begin, first_from);
    findings.second = share(second_begin, second_from);
    findings.overlap = static_cast<double>(overlap) / static_cast<double>(watched);
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
        run_on({0, 1});
    }
    static Findings run(Cookie cookie) {
        Owner first(cookie);
        Owner second(cookie);
        EXPECT_TRUE(first.wait_for_vcpu() && second.wait_for_vcpu());
        EXPECT_EQ(first.cookie() != 0, cookie == Cookie::Own);
        EXPECT_EQ(first.cookie() != second.cookie(), cookie == Cookie::Own);
        const auto findings = watch(first, second);
        std::printf(
            "the first ran %.2f of the time, the second %.2f, both at once %.3f; so they did in %d of "
            "%d samples\n",
            findings.first, findings.second, findings.overlap, findings.together, findings.clear);
        EXPECT_GE(findings.clear, 100) << "else nothing can be said";
        for (const int cpu : findings.cpus)
            EXPECT_TRUE(cpu == kFirst || cpu == kSecond) << cpu;
        return findings;
    }
};

// What the next test has to be able to see.
TEST_F(SharedCores, WithoutCookiesTwoVmsRunOnSiblingsAtOnce) {
    const auto findings = run(Cookie::None);

    EXPECT_GT(findings.overlap, 0.5);
    EXPECT_GT(findings.together, findings.clear / 2);
    EXPECT_GT(findings.first + findings.second, 1.5);
}

// The kernel tells a sibling by an interrupt to make way: so long, at each change of turns, both may run.
// Where this host's own CPUs are emulated, that interrupt may be late by as long as a CPU has to wait for its
// turn.
TEST_F(SharedCores, TwoOwnersNeverRunOnSiblingsAtOnce) {
    const auto findings = run(Cookie::Own);

    EXPECT_LT(findings.overlap, 0.05);
    EXPECT_LE(findings.together, findings.clear / 20);
    EXPECT_LT(findings.first + findings.second, 1.1);
    EXPECT_GT(findings.first, 0.2);
    EXPECT_GT(findings.second, 0.2);
}

}  // namespace
}  // namespace alcove::tests
