// SPDX-License-Identifier: Apache-2.0
//
// What each code means, and what helps.
#include <array>

#include "nitro_cli/failure_code.hpp"

namespace alcove::nitro_cli {

namespace {

#define ALLOCATE \
    "the kernel's pools: hugepages=N on its command line, or /sys/kernel/mm/hugepages/*/nr_hugepages"
#define NOT_OURS "Alcove's nitro-cli does not raise it."

constexpr std::array<FailureEntry, kFailureCodes> kEntries{{
    {"Unspecified error", "Something failed that has no code of its own.",
     "look at what the message names; the log in /var/log/nitro_enclaves may say more"},
    {"Missing argument", "The command needs an argument that was not given.",
     "give it; `nitro-cli COMMAND --help` lists all of them"},
    {"Conflicting arguments",
     "Two arguments were given that exclude one another, as --cpu-count and --cpu-ids do.",
     "give one of them"},
    {"Invalid argument", "An argument is not of the kind it has to be: a number, a size, a context id.",
     "correct the argument that the message names; sizes are numbers of MiB, or end in M, G or T"},
    {"Socket pair failure", "No pair of sockets could be made for talking to the enclave's process.",
     "free descriptors: `ulimit -n` and /proc/sys/fs/file-nr show limits"},
    {"Process start failure", "The process that accompanies an enclave could not be started.",
     "look for a limit of processes or memory (`ulimit -u`, the cgroup's pids.max)"},
    {"Background failure", "The process that accompanies an enclave could not leave the caller's session.",
     "look for a limit of processes (`ulimit -u`, the cgroup's pids.max)"},
    {"Folder not readable",
     "The folder with the sockets of the enclaves' processes could not be read or made.",
     "see that /run/nitro_enclaves (or $NITRO_CLI_SOCKETS_PATH) is there and may be read by this user"},
    {"Unusable connection", "A connection to an enclave's process was used after its end. " NOT_OURS,
     "repeat the command; if the enclave has ended, describe-enclaves does not list it any more"},
    {"Socket close failure", "A connection could not be closed in order. " NOT_OURS, "repeat the command"},
    {"No time limit on a socket", "The time limit for connecting to a console could not be set.",
     "see that the kernel has vsock: `modprobe vmw_vsock_virtio_transport`"},
    {"Socket failure",
     "An enclave's process could not be reached or did not answer as it should. Often there is no enclave of "
     "this id, or it has just ended.",
     "look at `nitro-cli describe-enclaves`; an id is used whole, as it is printed there"},
    {"Wait failure", "The kernel refused to watch a descriptor.",
     "free descriptors or memory of this machine"},
    {"Inotify failure", "A socket's file could not be watched. " NOT_OURS, "nothing is to be done"},
    {"Invalid command", "An enclave's process got a request that it does not know.",
     "use the same version of nitro-cli that started the enclave"},
    {"Lock failure",
     "The lock was not to be had that lets enclaves of this machine start one after the other.",
     "see that the folder /run/nitro_enclaves may be written by this user"},
    {"Thread failure", "A thread did not end in order. " NOT_OURS, "repeat the command"},
    {"Malformed data",
     "A configuration file, or what an enclave's process answered, is not the JSON it has to be.",
     "correct the file: an object with eif_path, memory_mib, cpu_count or cpu_ids, and if need be "
     "enclave_cid, "
     "enclave_name, debug_mode, attach_console"},
    {"Permissions of the log", "The log file belongs to somebody else. " NOT_OURS,
     "let the log's folder be written by this user"},
    {"File failure", "A file could not be opened, read or written. The message names it.",
     "see that it is there and that this user may use it; /dev/nitro_enclaves needs the driver "
     "(`modprobe nitro_enclaves`) and root or the group of the device"},
    {"CPU named twice", "The same CPU stands in --cpu-ids more than once, or CPUs cannot be chosen here.",
     "name each CPU once, or use --cpu-count"},
    {"CPU not in the pool",
     "A CPU of --cpu-ids is not in the pool that the driver takes enclaves' CPUs from.",
     "choose from /sys/module/nitro_enclaves/parameters/ne_cpus, or write another list to it while no "
     "enclave "
     "runs: whole cores, and never the core of CPU 0"},
    {"Too few CPUs", "The pool has fewer CPUs than were asked for.",
     "ask for fewer, end another enclave, or enlarge the pool in "
     "/sys/module/nitro_enclaves/parameters/ne_cpus"},
    {"Malformed CPU number", "The driver's list of CPUs has something in it that is no number.",
     "read /sys/module/nitro_enclaves/parameters/ne_cpus and write a proper list to it, such as 2-3,6"},
    {"Malformed CPU range", "The driver's list of CPUs has something in it that is no range.",
     "read /sys/module/nitro_enclaves/parameters/ne_cpus and write a proper list to it, such as 2-3,6"},
    {"Unknown huge page size", "A size of huge pages is not one that Linux knows. " NOT_OURS,
     "nothing is to be done"},
    {"Insufficient memory requested",
     "The enclave would not have the memory it needs: four times the image, which lies in it and is unpacked "
     "in it, and no less than 64 MiB.",
     "raise --memory to what the message says"},
    {"Insufficient memory available", "There are not enough free huge pages for the enclave.",
     "free huge pages (end an enclave) or enlarge " ALLOCATE
     "; pages that were fragmented away come back after a reboot"},
    {"No enclave descriptor", "The driver gave no enclave. This tool says E29 and the reason. " NOT_OURS,
     "see E29"},
    {"Driver refused",
     "A call to /dev/nitro_enclaves was refused. The message names the call, the driver's error (NE_ERR_...) "
     "and what it means.",
     "correct what the message names: whole cores (--cpu-count of both siblings), at least 64 MiB, a free "
     "context id, at most four enclaves at once"},
    {"Image place unknown", "The driver did not say where an image goes. This tool says E29. " NOT_OURS,
     "see E29"},
    {"Memory not accepted", "The driver did not take a region of memory. This tool says E29. " NOT_OURS,
     "see E29"},
    {"vCPU not accepted", "The driver did not take a vCPU. This tool says E29. " NOT_OURS, "see E29"},
    {"Start refused", "The driver did not start the enclave. This tool says E29. " NOT_OURS, "see E29"},
    {"Memory overflow", "The image does not fit into the memory that the enclave was given.",
     "raise --memory: the image begins 8 MiB behind the start"},
    {"Image malformed", "The file is no enclave image, or it was changed while it was read.",
     "see what `nitro-cli describe-eif` says of it, and build it again"},
    {"Enclave did not boot",
     "The enclave was started, but did not report that it is up: its init connects to port 9000 of CID 3, "
     "sends one byte and has it echoed. The message says whether it ended, was silent, or said something "
     "else.",
     "run it with --debug-mode --attach-console and read its last words; an image with a wrong checksum or "
     "signature, or a panic for want of memory, ends it at once. A kernel needs vsock and a program that "
     "sends the heartbeat; this machine needs vsock with CID 3 (`modprobe vmw_vsock_virtio_transport`)"},
    {"Enclave not watched", "The enclave's descriptor could not be watched for its end.",
     "free descriptors or memory of this machine"},
    {"Command not carried out", "An enclave's process answered that it did not do what it was asked for.",
     "look at what the process wrote, here and in /var/log/nitro_enclaves/nitro_enclaves.log"},
    {"Enclave process failure",
     "The process that accompanies an enclave gave no result. What it ran into stands above, with a code of "
     "its own.",
     "act on the error above; if there is none, read /var/log/nitro_enclaves/nitro_enclaves.log"},
    {"No such socket", "An enclave's id leads to no socket. " NOT_OURS,
     "look at `nitro-cli describe-enclaves`"},
    {"Reply lost", "An enclave's process could not answer, because the caller had gone.",
     "repeat the command"},
    {"Memory not mapped", "Memory for the enclave could not be mapped. This tool says E27. " NOT_OURS,
     "see E27"},
    {"Memory not unmapped", "Memory of an enclave could not be unmapped. " NOT_OURS, "nothing is to be done"},
    {"No console", "The console of the enclave could not be reached. It exists in debug mode only.",
     "start the enclave with --debug-mode; if it was, it may have ended: look at describe-enclaves"},
    {"Console not readable", "The connection to the console broke.",
     "connect again: the console is replayed"},
    {"Output not writable", "What the console said could not be written to standard output.",
     "see what takes the output of this program"},
    {"Number not read", "A context id is larger than a console can have.", "use a smaller --enclave-cid"},
    {"Image not built", "An image could not be built.", "build it with `alcove image build`"},
    {"Container image not built", "Container images are not built by this program.",
     "build it with a container engine, export its files (`docker create` and `docker export`), and give "
     "them "
     "to `alcove image build --tar FILE`"},
    {"Container image not fetched", "Container images are not fetched by this program.",
     "export its files (`docker create` and `docker export`), and give them to `alcove image build --tar "
     "FILE`; "
     "a folder goes with --directory"},
    {"No folder for artifacts", "The original keeps intermediate files of a build there. " NOT_OURS,
     "nothing is to be done"},
    {"No folder of blobs", "The original takes kernel and init from there. " NOT_OURS,
     "nothing is to be done"},
    {"Clock ran backwards", "The time went back while a console was read. " NOT_OURS,
     "nothing is to be done"},
    {"Signals not masked", "Signals could not be held back while an enclave starts.", "repeat the command"},
    {"Signals not unmasked", "Signals could not be let through again. " NOT_OURS, "repeat the command"},
    {"Log failure", "The log could not be opened.",
     "see that /var/log/nitro_enclaves (or $NITRO_CLI_LOGS_PATH) is there and may be written by this user"},
    {"Not measured", "The measurement of a file could not be computed: it is no PEM certificate.",
     "give the certificate as PEM; for any other file use --input"},
    {"Naming failure", "No enclave, or more than one, has this name.",
     "look at `nitro-cli describe-enclaves`, and use --enclave-id"},
    {"Signature invalid",
     "The image is signed, but the signature is not its certificate's, or the certificate is not valid now. "
     "The hypervisor would refuse to run it.",
     "sign it again with a valid certificate (`nitro-cli sign-eif`), and see that this machine's clock is "
     "right"},
    {"Not signed",
     "The image could not be signed: key, certificate or file is not usable, or they do not match.",
     "give --private-key and --signing-certificate, both PEM, of one P-256, P-384 or P-521 key; keys in a "
     "cloud's key service are not reached from here"},
}};

#undef ALLOCATE
#undef NOT_OURS

}  // namespace

const FailureEntry& entry_of(FailureCode code) {
    return kEntries[static_cast<size_t>(code)];
}

}  // namespace alcove::nitro_cli
