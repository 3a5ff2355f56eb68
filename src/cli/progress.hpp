// SPDX-License-Identifier: Apache-2.0
//
// Says what takes so long, on standard error: nothing for the first second; then, on a terminal, one line
// that is kept up to date, elsewhere a line now and then. Silent with --quiet and --json. The line is gone
// when the object is.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "cli/output.hpp"

namespace alcove::cli {

class Progress {
  public:
    struct Pace {
        std::chrono::milliseconds quiet_for{1000};
        std::chrono::milliseconds terminal_every{200};
        std::chrono::milliseconds plain_every{5000};
    };

    // `output` is borrowed. `what` is a phrase like "measuring the image".
    Progress(const Output& output, std::string what, Pace pace);
    Progress(const Output& output, std::string what) : Progress(output, std::move(what), Pace{}) {}
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void update(std::string what);  // from any thread

  private:
    void run();

    const Output& output_;
    Pace pace_;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
    std::mutex mutex_;  // guards the three below
    std::condition_variable wake_;
    std::string what_;
    bool over_ = false;
    std::thread thread_;
};

// "12 s", "3 min 5 s".
std::string elapsed_text(std::chrono::milliseconds elapsed);
// "45 %" of a whole that may be 0.
std::string percent_text(uint64_t done, uint64_t total);

}  // namespace alcove::cli
