// SPDX-License-Identifier: Apache-2.0
//
// What went wrong, told once. An Error carries a code from one list (stable numbers: they are printed,
// documented by `alcove explain` and part of the API), the errno if the host refused something, a message,
// and a chain of short contexts that callers add on the way up. It is logged or shown where it is handled,
// not where it arises.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace alcove {

// The numbers are contract: a number is never reused. error_catalog.cpp has the texts.
enum class ErrorCode : uint16_t {
    Internal = 1,
    InvalidArgument = 2,
    NotFound = 3,
    AlreadyExists = 4,
    PermissionDenied = 5,
    Busy = 6,
    Timeout = 7,
    ConnectionLost = 8,
    Unsupported = 9,
    SystemCall = 10,
    OutOfMemory = 11,
    NoSpace = 12,
    VersionMismatch = 13,
    InvalidMessage = 14,
    PathTooLong = 15,
    Cancelled = 16,
    MissingDependency = 17,
    Truncated = 18,
    LimitExceeded = 19,

    KvmMissing = 20,
    KvmUnable = 21,
    NoHugePages = 22,
    NoFreeCores = 23,
    NoFreeMemory = 24,
    EmbeddedHostFailed = 25,
    EmbeddedHostNotRunning = 26,
    DaemonNotRunning = 27,
    NoFreeEpc = 28,

    ImageMalformed = 30,
    ImageVersion = 31,
    ImageCrc = 32,
    ImageSection = 33,
    ImageSignature = 34,
    ImageCertificateExpired = 35,
    KernelInvalid = 36,
    RamdiskTooLarge = 37,
    CommandLineInvalid = 38,
    ImageBuildInput = 39,
    MetadataInvalid = 40,

    MachineConfig = 50,
    GuestAddressInvalid = 51,
    KvmRefused = 52,
    VcpuFailed = 53,
    MemoryLost = 54,

    DocumentMalformed = 70,
    DocumentSignature = 71,
    ChainInvalid = 72,
    CertificateExpired = 73,
    RootUntrusted = 74,
    PcrMismatch = 75,
    NonceMismatch = 76,
    PublicKeyMismatch = 77,
    DevelopmentRoot = 78,
    KeyInvalid = 79,
    DebugEnclave = 80,
    CertificateRevoked = 81,
    DocumentField = 82,

    EnclaveNotFound = 90,
    EnclaveNotDebug = 91,
    EnclaveLaunchFailed = 92,
    EnclaveDied = 93,
    EnclaveNameTaken = 94,
    EnclaveNotReady = 95,

    CborMalformed = 100,
    TextMalformed = 101,
    JsonMalformed = 102,
    CryptoFailed = 103,
};

class Error {
  public:
    Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

    // A system call that failed with `errno_value`; `what` names the call and its object.
    static Error from_errno(int errno_value, std::string what, ErrorCode code = ErrorCode::SystemCall);

    ErrorCode code() const { return code_; }
    int errno_value() const { return errno_; }  // 0 when no system call was involved
    const std::string& message() const { return message_; }

    // Says what was being done: "loading ramdisk 2". The outermost context is added last.
    Error context(std::string what) &&;

    // "loading ramdisk 2: section ends behind the file" with the errno's text where there is one.
    std::string to_string() const;

  private:
    ErrorCode code_;
    int errno_ = 0;
    std::string message_;
    std::vector<std::string> contexts_;
};

// "E33".
std::string code_label(ErrorCode code);

}  // namespace alcove
