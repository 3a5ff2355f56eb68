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
    // Where it is (proc(5), field 39).
    int cpu() const {
        std::ifstream stat(tasks() / std::to_string(vcpu_) / "stat");
        std::string word;
        for (int field = 0; field < 39; ++field)
            stat >> word;
        return std::stoi(word);
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

struct Findings {
    double first = 0;    // of the time, that the first one's vCPU ran
    double second = 0;   //
    double overlap = 0;  // of the time, that both certainly ran
    std::set<int> cpus;
};

Findings watch(const Owner& first, const Owner& second) {
    constexpr int kSamples = 300;
    Findings findings;
    nanoseconds overlap{};
    const auto begin = Clock::now();
    const auto first_begin = first.ran();
    const auto second_begin = second.ran();
    for (int i = 0; i < kSamples; ++i) {
        const auto from = Clock::now();
        const auto first_from = first.ran();
        const auto second_from = second.ran();
        std::this_thread::sleep_for(milliseconds(10));
        const auto both = first.ran() - first_from + second.ran() - second_from;
        const auto window = Clock::now() - from;
        overlap += std::max<nanoseconds>(nanoseconds(0), both - window);
        if (i % 50 == 0) findings.cpus.insert({first.cpu(), second.cpu()});
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
        run_on({0, 1});
    }
    static Findings run(Cookie cookie) {
        Owner first(cookie);
        Owner second(cookie);
        EXPECT_TRUE(first.wait_for_vcpu() && second.wait_for_vcpu());
        const auto findings = watch(first, second);
        std::printf("the first ran %.2f of the time, the second %.2f, both at once %.3f\n", findings.first,
                    findings.second, findings.overlap);
        for (const int cpu : findings.cpus)
            EXPECT_TRUE(cpu == kFirst || cpu == kSecond) << cpu;
        return findings;
    }
};

// What the next test has to be able to see.
TEST_F(SharedCores, WithoutCookiesTwoVmsRunOnSiblingsAtOnce) {
    const auto findings = run(Cookie::None);

    EXPECT_GT(findings.overlap, 0.5);
    EXPECT_GT(findings.first + findings.second, 1.5);
}

// The kernel tells a sibling by an interrupt to make way: so long, at each change of turns, both may run.
TEST_F(SharedCores, TwoOwnersNeverRunOnSiblingsAtOnce) {
    const auto findings = run(Cookie::Own);

    EXPECT_LT(findings.overlap, 0.05);
    EXPECT_LT(findings.first + findings.second, 1.1);
    EXPECT_GT(findings.first, 0.2);
    EXPECT_GT(findings.second, 0.2);
}

}  // namespace
}  // namespace alcove::tests
