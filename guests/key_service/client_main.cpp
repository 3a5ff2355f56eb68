// SPDX-License-Identifier: Apache-2.0
//
// key_client: the host's side of the key service. The interesting command is `demo`: a document is asked for,
// a verifier judges it, and only then does a secret go out, to the key that the verifier vouches for.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "key_service/client.hpp"
#include "key_service/hex.hpp"
#include "key_service/sealing.hpp"
#include "key_service/verifier.hpp"
#include "support/system.hpp"
#include "vsock/sockets.hpp"

namespace alcove::key_service {

namespace {

constexpr char kUsage[] =
    "usage: key_client ((--socket PATH | --cid CID) [--port N] | --stdio) COMMAND\n"
    "  challenge [--nonce HEX] --out FILE\n"
    "      writes an attestation document, not verified\n"
    "  seal --public-key FILE --secret TEXT\n"
    "      sends TEXT, sealed to the SubjectPublicKeyInfo (DER) in FILE, and prints the answer\n"
    "  demo [--nonce HEX] [--secret TEXT] --doc-out FILE --then-verify VERIFIER [ARGUMENT...]\n"
    "      does both, but sends TEXT only if VERIFIER accepts the document (exit code 0), and only to the\n"
    "      public key (hexadecimal `public_key` of a JSON object) that VERIFIER prints; {doc} and {nonce}\n"
    "      in its arguments stand for FILE and the nonce\n"
    "--socket is a VMM's connect socket, --cid the enclave's context id for a program beside it in a VM; "
    "--stdio\n"
    "uses standard input and output, already connected to the service, and prints on standard error. Without "
    "--nonce a random one is taken.\n"
    "Exit code: 0 well, 1 failed, 2 wrong usage, 3 the verifier does not accept the document.\n";

constexpr size_t kRandomNonceSize = 32;
constexpr int kExitUsage = 2;
constexpr int kExitNotVerified = 3;

struct Options {
    std::string socket_path;
    std::optional<uint32_t> cid;
    uint32_t port = kServicePort;
    bool stdio = false;
    std::string command;
    std::string nonce_hex;
    std::string out;
    std::string public_key_path;
    std::string secret = "the secret of the demo";
    std::vector<std::string> verifier;
};

// Below 2^32 - 1, which means "any" for vsock.
std::optional<uint32_t> parse_number(const std::string& text) {
    char* end = nullptr;
    const unsigned long number = std::strtoul(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || number >= UINT32_MAX) return std::nullopt;
    return static_cast<uint32_t>(number);
}

// Nothing when the arguments are not what kUsage says.
std::optional<Options> parse(const std::vector<std::string>& arguments) {
    Options options;
    for (size_t i = 0; i < arguments.size(); ++i) {
        const std::string& name = arguments[i];
        if (name == "--stdio") {
            options.stdio = true;
        } else if (!name.starts_with("--")) {
            if (!options.command.empty()) return std::nullopt;
            options.command = name;
        } else if (i + 1 == arguments.size()) {
            return std::nullopt;
        } else if (name == "--then-verify") {
            options.verifier.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
            break;
        } else {
            const std::string& value = arguments[++i];
            if (name == "--socket") {
                options.socket_path = value;
            } else if (name == "--port" || name == "--cid") {
                const auto number = parse_number(value);
                if (!number) return std::nullopt;
                if (name == "--port")
                    options.port = *number;
                else
                    options.cid = number;
            } else if (name == "--nonce") {
                options.nonce_hex = value;
            } else if (name == "--out" || name == "--doc-out") {
                options.out = value;
            } else if (name == "--public-key") {
                options.public_key_path = value;
            } else if (name == "--secret") {
                options.secret = value;
            } else {
                return std::nullopt;
            }
        }
    }
    const int ways = (options.stdio ? 1 : 0) + (options.socket_path.empty() ? 0 : 1) + (options.cid ? 1 : 0);
    if (ways != 1) return std::nullopt;
    const bool complete = (options.command == "challenge" && !options.out.empty()) ||
                          (options.command == "seal" && !options.public_key_path.empty()) ||
                          (options.command == "demo" && !options.out.empty() && !options.verifier.empty());
    if (!complete) return std::nullopt;
    return options;
}

class Session {
  public:
    explicit Session(const Options& options) : options_(options) {}

    Result<void> run() {
        MessageStream stream = TRY(connect());
        Client client(std::move(stream));
        if (options_.command == "seal") {
            const Bytes key = TRY(sys::read_file(options_.public_key_path, kPublicKeyLimit));
            return send_secret(client, key);
        }
        const std::string nonce_hex = TRY(save_document(client));
        if (options_.command == "challenge") return {};
        say("asking the verifier");
        const Bytes key = TRY(verified_public_key(fill_in(options_.verifier, options_.out, nonce_hex)));
        say("verified; the enclave's public key is " + to_hex(key));
        return send_secret(client, key);
    }

  private:
    Result<MessageStream> connect() {
        if (options_.stdio) {
            Fd in = TRY(sys::duplicate(STDIN_FILENO));
            Fd out = TRY(sys::duplicate(STDOUT_FILENO));
            return MessageStream::create(std::move(in), std::move(out));
        }
        if (options_.cid) return MessageStream::create(TRY(connect_to_vsock(*options_.cid, options_.port)));
        Fd socket = TRY(sys::unix_connect(options_.socket_path, SOCK_STREAM));
        MessageStream stream = TRY(MessageStream::create(std::move(socket)));
        TRY(connect_to_port(stream, options_.port));
        return stream;
    }

    // The nonce that was used.
    Result<std::string> save_document(Client& client) {
        const Bytes nonce = TRY(choose_nonce());
        const Bytes document = TRY(client.challenge(nonce));
        TRY(sys::replace_file(options_.out, document, 0644));
        say("nonce " + to_hex(nonce));
        say("document of " + std::to_string(document.size()) + " bytes in " + options_.out);
        return to_hex(nonce);
    }

    Result<Bytes> choose_nonce() {
        if (options_.nonce_hex.empty()) return random_bytes(kRandomNonceSize);
        return from_hex(options_.nonce_hex).context("--nonce");
    }

    Result<void> send_secret(Client& client, ByteView public_key) {
        const Opened opened = TRY(client.send_secret(public_key, as_byte_view(options_.secret)));
        say("sent a secret of " + std::to_string(options_.secret.size()) + " bytes, sealed to that key");
        say("the enclave read " + std::to_string(opened.length) + " bytes with SHA-256 " +
            to_hex(opened.digest));
        say("and sent them back sealed: " + std::string(as_text(opened.echo)));
        return {};
    }

    void say(const std::string& text) const {
        std::FILE* stream = options_.stdio ? stderr : stdout;
        std::fprintf(stream, "%s\n", text.c_str());
        std::fflush(stream);
    }

    const Options& options_;
};

}  // namespace

int client_main(const std::vector<std::string>& arguments) {
    std::signal(SIGPIPE, SIG_IGN);
    const auto options = parse(arguments);
    if (!options) {
        std::fputs(kUsage, stderr);
        return kExitUsage;
    }
    const auto done = Session(*options).run();
    if (done) return EXIT_SUCCESS;
    std::fprintf(stderr, "key_client: %s\n", done.error().to_string().c_str());
    return done.error().code() == ErrorCode::DocumentSignature ? kExitNotVerified : EXIT_FAILURE;
}

}  // namespace alcove::key_service

int main(int count, char** values) {
    return alcove::key_service::client_main(std::vector<std::string>(values + 1, values + count));
}
