// SPDX-License-Identifier: Apache-2.0
//
// The error codes of this tool. They are contract: E26 is the same here as in AWS's nitro-cli, and the number
// is the exit code (documented in docs/nitro-cli.md).
//
// They travel in alcove::Error like codes of our own, which end far below 1000: 1000 + N is EN. Such an
// Error never leaves this folder; program.cpp shows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "support/result.hpp"

namespace alcove::nitro_cli {

enum class FailureCode : uint8_t {
    Unspecified = 0,
    MissingArgument = 1,
    ConflictingArgument = 2,
    InvalidArgument = 3,
    SocketPair = 4,
    ProcessSpawn = 5,
    Daemonize = 6,
    ReadFromDisk = 7,
    UnusableConnection = 8,
    SocketClose = 9,
    SocketConnectTimeout = 10,
    Socket = 11,
    Epoll = 12,
    Inotify = 13,
    InvalidCommand = 14,
    LockAcquire = 15,
    ThreadJoin = 16,
    Serde = 17,
    FilePermissions = 18,
    FileOperation = 19,
    InvalidCpuConfiguration = 20,
    NoSuchCpuInPool = 21,
    InsufficientCpus = 22,
    MalformedCpuId = 23,
    Cpu = 24,
    NoSuchHugePageFlag = 25,
    InsufficientMemoryRequested = 26,
    InsufficientMemoryAvailable = 27,
    InvalidEnclaveDescriptor = 28,
    Ioctl = 29,
    IoctlImageLoadInfo = 30,
    IoctlSetMemoryRegion = 31,
    IoctlAddVcpu = 32,
    IoctlEnclaveStart = 33,
    MemoryOverflow = 34,
    EifParsing = 35,
    EnclaveBoot = 36,
    EnclaveEventWait = 37,
    CommandNotExecuted = 38,
    ProcessConnection = 39,
    SocketPathNotFound = 40,
    SendReply = 41,
    Mmap = 42,
    Munmap = 43,
    ConsoleConnection = 44,
    ConsoleRead = 45,
    ConsoleWrite = 46,
    IntegerParsing = 47,
    EifBuilding = 48,
    DockerImageBuild = 49,
    DockerImagePull = 50,
    ArtifactsPathNotSet = 51,
    BlobsPathNotSet = 52,
    ClockSkew = 53,
    SignalMasking = 54,
    SignalUnmasking = 55,
    Logger = 56,
    Hasher = 57,
    Naming = 58,
    SignatureChecker = 59,
    Signing = 60,
};
inline constexpr unsigned kFailureCodes = 61;

// "E26".
std::string label_of(FailureCode code);

struct FailureEntry {
    std::string_view title;
    std::string_view meaning;  // when it is raised; codes that are the original's alone say so
    std::string_view remedy;
};
const FailureEntry& entry_of(FailureCode code);
// "E26" or "e26"; nothing when there is no such code.
std::optional<FailureCode> find_code(std::string_view label);

Failure fail(FailureCode code, std::string message);
// Unspecified for an error that nobody gave a code of this tool.
FailureCode code_of(const Error& error);

// The result, but its error has this code. What it says stays.
template <typename T>
Result<T> coded(FailureCode code, Result<T> result) {
    if (result) return result;
    return fail(code, result.error().to_string());
}

// "[ E26 ] Insufficient memory requested: ...\n", and what to do.
std::string failure_text(const Error& error);

}  // namespace alcove::nitro_cli
