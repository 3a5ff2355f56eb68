// SPDX-License-Identifier: Apache-2.0
#include "support/error_catalog.hpp"

#include <algorithm>
#include <cctype>
#include <string>

#include "support/check.hpp"

namespace alcove {

namespace {

constexpr ErrorEntry kCatalog[] = {
    {ErrorCode::Internal, "internal", "Alcove found a state that its own code should have made impossible.",
     "Please report it with the message and the log of the program that printed it."},
    {ErrorCode::InvalidArgument, "invalid-argument",
     "A value that was given is not of the form or range asked for.",
     "Correct the argument named in the message; --help of the command shows the forms."},
    {ErrorCode::NotFound, "not-found", "A file or object that was named does not exist.",
     "Check the name; `alcove enclave list` shows enclaves, the message names files."},
    {ErrorCode::AlreadyExists, "already-exists", "Something with this name is there already.",
     "Choose another name, or remove the old one first."},
    {ErrorCode::PermissionDenied, "permission-denied", "The operating system does not let you do this.",
     "Join the group `alcove` (control) or `alcove-view` (reading), or check the file's owner and mode."},
    {ErrorCode::Busy, "busy", "The object is at work on something else at the moment.",
     "Wait for it to finish, then try again."},
    {ErrorCode::Timeout, "timeout", "An answer did not come in time.",
     "Look at `alcove host status` and at the log of the program named; a loaded machine may need more "
     "time."},
    {ErrorCode::ConnectionLost, "connection-lost", "The program at the other end closed the connection.",
     "See whether it still runs (`alcove host status`) and what its log says last."},
    {ErrorCode::Unsupported, "unsupported", "This is not offered here.",
     "The message says what is missing; `alcove host check` lists what this host can do."},
    {ErrorCode::SystemCall, "system-call", "The host's kernel refused a system call.",
     "The message names the call and the kernel's reason."},
    {ErrorCode::OutOfMemory, "out-of-memory", "The host has not enough free memory.",
     "Stop something, or ask for less memory; `alcove host check` shows what is free."},
    {ErrorCode::NoSpace, "no-space", "The disk is full.",
     "Free space on the file system named in the message."},
    {ErrorCode::VersionMismatch, "version-mismatch",
     "Two of Alcove's programs speak different protocol versions.",
     "Upgrade both from the same release and restart the older one; running VMs are not touched."},
    {ErrorCode::InvalidMessage, "invalid-message", "A message from another process broke the protocol.",
     "If both ends are Alcove's own, please report it; otherwise correct the client."},
    {ErrorCode::PathTooLong, "path-too-long", "A Unix socket's path can have at most 107 bytes.",
     "Use a shorter directory, by setting XDG_STATE_HOME or ALCOVE_STATE_DIR."},
    {ErrorCode::Cancelled, "cancelled", "The work was cancelled before it was done.",
     "Start it again if you want it."},
    {ErrorCode::MissingDependency, "missing-dependency",
     "A program or file that this needs is not installed.", "Install the package that the message names."},
    {ErrorCode::Truncated, "truncated", "The data ended before it was complete.",
     "Copy the file anew and compare its size with the original's."},
    {ErrorCode::LimitExceeded, "limit-exceeded", "A size or count is over the limit.",
     "The message says the limit."},
    {ErrorCode::KvmMissing, "kvm-missing", "There is no /dev/kvm here.",
     "Turn on virtualization in the firmware and load kvm-intel or kvm-amd; without it Alcove uses its "
     "embedded host."},
    {ErrorCode::KvmUnable, "kvm-unable", "/dev/kvm opens but cannot run an ordinary guest.",
     "`alcove host check` says which instruction failed; Alcove uses its embedded host instead."},
    {ErrorCode::NoHugePages, "no-huge-pages", "Not enough 2 MiB pages are free.",
     "Reserve more (`sysctl vm.nr_hugepages=N`), or use --pages 4k."},
    {ErrorCode::NoFreeCores, "no-free-cores", "Not enough whole host cores are free.",
     "Stop an enclave or ask for fewer CPUs; `alcove host status` shows who holds the cores."},
    {ErrorCode::NoFreeMemory, "no-free-memory", "Not enough of the memory that Alcove may lend is free.",
     "Stop an enclave or ask for less; `alcove host status` shows who holds the memory."},
    {ErrorCode::EmbeddedHostFailed, "embedded-host-failed", "The embedded host did not start.",
     "Its console is in host/console.log in the state directory; `alcove host start` tries again."},
    {ErrorCode::EmbeddedHostNotRunning, "embedded-host-not-running", "The embedded host is not running.",
     "Start it with `alcove host start`."},
    {ErrorCode::DaemonNotRunning, "daemon-not-running", "alcoved does not answer.",
     "Start the service (docs/install.md says how), or `alcove host start` for the embedded host."},
    {ErrorCode::NoFreeEpc, "no-free-epc",
     "Not enough of the EPC that this host's processors have is free (EPC in software is memory, E24).",
     "Stop a VM that has some, ask for less, or write sgx.backend = \"software\"; `alcove sgx info` shows "
     "who "
     "holds it."},
    {ErrorCode::ImageMalformed, "image-malformed", "The file is not a well-formed enclave image (EIF).",
     "Build it anew with `alcove image build`, or copy it again if it was damaged on the way."},
    {ErrorCode::ImageVersion, "image-version", "The image's format version is not supported; 2, 3 and 4 are.",
     "Build it anew with `alcove image build`."},
    {ErrorCode::ImageCrc, "image-crc", "The image's checksum does not match: it was changed or damaged.",
     "Copy it again from where it was built."},
    {ErrorCode::ImageSection, "image-section", "A section of the image is missing, repeated or out of place.",
     "`alcove image describe` shows the sections; build the image anew."},
    {ErrorCode::ImageSignature, "image-signature",
     "The image's signature does not match its content or certificate.",
     "Sign it again with `alcove image sign`; do not run it if you expected it to be signed."},
    {ErrorCode::ImageCertificateExpired, "image-certificate-expired",
     "The certificate the image was signed with is not valid at this time.",
     "Sign it again with a valid certificate, and check this host's clock."},
    {ErrorCode::KernelInvalid, "kernel-invalid",
     "The kernel is neither a 64-bit bzImage nor an ELF with a PVH entry.",
     "Give a bzImage (vmlinuz) of an x86-64 kernel, or --kernel debian."},
    {ErrorCode::RamdiskTooLarge, "ramdisk-too-large",
     "Kernel and ramdisks do not fit into the enclave's memory.",
     "Give more memory (--memory); four times the image's size is a good start."},
    {ErrorCode::CommandLineInvalid, "command-line-invalid",
     "The kernel command line has control characters or is longer than the kernel takes.",
     "Use printable ASCII only and at most 2047 bytes."},
    {ErrorCode::ImageBuildInput, "image-build-input",
     "Something the image was to be built from cannot be used.",
     "The message names the input and what is wrong with it."},
    {ErrorCode::MetadataInvalid, "metadata-invalid",
     "The image's metadata is not the JSON object it has to be.",
     "Build it anew with `alcove image build`, or correct the tool that wrote it: at most 4096 bytes of "
     "JSON."},
    {ErrorCode::MachineConfig, "machine-config", "A machine cannot be built from this configuration.",
     "The message names the setting and its limits."},
    {ErrorCode::GuestAddressInvalid, "guest-address-invalid", "An address lies outside the guest's memory.",
     "For an image: give more memory. Otherwise the guest misbehaved."},
    {ErrorCode::KvmRefused, "kvm-refused", "The kernel's KVM refused a request.",
     "`alcove host check` says what this host's KVM offers."},
    {ErrorCode::VcpuFailed, "vcpu-failed", "A virtual CPU could not go on.",
     "The message has KVM's reason; please report it with the guest kernel's version."},
    {ErrorCode::MemoryLost, "memory-lost",
     "Memory of a primary VM could be neither moved to its enclave nor back.",
     "The VM cannot go on and was ended: free memory on the host, then start it again."},
    {ErrorCode::DocumentMalformed, "document-malformed", "This is not a well-formed attestation document.",
     "Check that the whole binary document was saved, not its base64 text."},
    {ErrorCode::DocumentSignature, "document-signature",
     "The document's signature does not match its content.",
     "Do not trust it: it was changed or made by somebody else."},
    {ErrorCode::ChainInvalid, "chain-invalid", "The document's certificates do not form a valid chain.",
     "Do not trust the document."},
    {ErrorCode::CertificateExpired, "certificate-expired",
     "A certificate of the chain is not valid at this time.",
     "Ask the enclave for a fresh document, and check the clocks of both hosts."},
    {ErrorCode::RootUntrusted, "root-untrusted",
     "The document's chain does not end at the root that you trust.",
     "Give the right root with --root; `alcove attest root` prints this host's."},
    {ErrorCode::PcrMismatch, "pcr-mismatch",
     "A PCR is not what you expected: another image, or a changed one.",
     "Compare with `alcove image pcr`; do not trust the enclave with secrets."},
    {ErrorCode::NonceMismatch, "nonce-mismatch",
     "The document does not carry your nonce: it may be an old one.",
     "Ask for a new document with a fresh nonce."},
    {ErrorCode::PublicKeyMismatch, "public-key-mismatch", "The document carries another public key.",
     "Do not use the key; ask for a new document."},
    {ErrorCode::DevelopmentRoot, "development-root", "The document was signed under a development root.",
     "Use --allow-development for tests; for secrets that matter, run on a host with a root of its own."},
    {ErrorCode::KeyInvalid, "key-invalid", "A key or certificate file cannot be used.",
     "P-384 keys and X.509 certificates in PEM are expected; the message says what is wrong."},
    {ErrorCode::DebugEnclave, "debug-enclave", "The enclave ran in debug mode: its measurements are zero.",
     "Run it without --debug, or pass --allow-debug while you test."},
    {ErrorCode::CertificateRevoked, "certificate-revoked", "A certificate of the chain has been revoked.",
     "Do not trust the document."},
    {ErrorCode::DocumentField, "document-field", "A field of the document breaks the format's rules.",
     "Do not trust the document; the message names the field."},
    {ErrorCode::EnclaveNotFound, "enclave-not-found", "There is no enclave with this name or id.",
     "`alcove enclave list` shows what there is."},
    {ErrorCode::EnclaveNotDebug, "enclave-not-debug", "Console and logs exist only in debug mode.",
     "Run the enclave with --debug to see its console; its measurements are then zero."},
    {ErrorCode::EnclaveLaunchFailed, "enclave-launch-failed", "The enclave could not be started.",
     "The message says which step failed."},
    {ErrorCode::EnclaveDied, "enclave-died", "The enclave ended before it was ready.",
     "Run it with --debug and read `alcove enclave console`."},
    {ErrorCode::EnclaveNameTaken, "enclave-name-taken", "Another enclave has this name.",
     "Choose another --name, or stop the other enclave."},
    {ErrorCode::EnclaveNotReady, "enclave-not-ready", "The enclave runs but has not sent its heartbeat yet.",
     "Wait for it with `alcove enclave run --wait`, or look at `alcove enclave inspect`."},
    {ErrorCode::CborMalformed, "cbor-malformed", "The data is not well-formed CBOR of the expected kind.",
     "Check where the data came from."},
    {ErrorCode::TextMalformed, "text-malformed", "A hexadecimal or base64 text cannot be decoded.",
     "Check for missing or foreign characters."},
    {ErrorCode::JsonMalformed, "json-malformed", "A text is not the JSON that is expected.",
     "The message says where it goes wrong."},
    {ErrorCode::CryptoFailed, "crypto-failed", "The crypto library refused an operation.",
     "The message has the library's reason."},
};

}  // namespace

std::span<const ErrorEntry> error_catalog() {
    return kCatalog;
}

const ErrorEntry& error_entry(ErrorCode code) {
    const auto* found = std::ranges::find(kCatalog, code, &ErrorEntry::code);
    ALCOVE_CHECK(found != std::end(kCatalog), "every error code has an entry in the catalog");
    return *found;
}

std::optional<ErrorEntry> find_error(std::string_view label_or_name) {
    for (const auto& entry : kCatalog) {
        const std::string label = code_label(entry.code);
        const bool same_label = std::ranges::equal(label, label_or_name, [](char a, char b) {
            return a == std::toupper(static_cast<unsigned char>(b));
        });
        if (same_label || entry.name == label_or_name) return entry;
    }
    return std::nullopt;
}

}  // namespace alcove
