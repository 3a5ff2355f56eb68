// SPDX-License-Identifier: Apache-2.0
//
// The HTTP API, version 1 (docs/api.md): which path does what. It runs on the threads of the HTTP server and
// asks the event loop's thread for everything (loop_call.hpp).
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "codec/json.hpp"
#include "daemon/changes.hpp"
#include "daemon/descriptor_tokens.hpp"
#include "daemon/http_server.hpp"
#include "daemon/image_source.hpp"
#include "daemon/launch_json.hpp"
#include "daemon/supervisor.hpp"

namespace alcove::daemon {

// Which socket a request came by.
enum class Access : uint8_t {
    Control,
    View,  // GET only, and no sockets of VMs
};

class Api {
  public:
    struct Parts {  // borrowed; all belong to the loop's thread but `changes`
        EventLoop& loop;
        Supervisor& supervisor;
        Store& store;
        host::Ledger& ledger;
        DescriptorTokens& tokens;
        Changes& changes;
    };
    struct Config {
        bool embedded = false;        // images may be named by a disk's serial number
        std::string attestor_socket;  // asked for the host's root certificate
        std::string instance_id;
        std::function<Result<Fd>(uint64_t bytes)> make_spill_file;
        std::chrono::milliseconds patience{20'000};  // for the loop's thread
        std::chrono::seconds longest_wait{600};      // of a client for a state
        size_t console_readers = 16;
    };

    Api(Parts parts, Config config);

    HttpResponse handle(const HttpRequest& request, Access access);
    // The body of an error that the HTTP server itself gives.
    static std::string error_body(int http_status);

  private:
    using Json = codec::json::Json;
    Result<HttpResponse> route(const HttpRequest& request);
    // Enclaves and primary VMs have the same paths below /v1/enclaves and /v1/vms.
    Result<HttpResponse> route_vms(const HttpRequest& request, api::VmRole role);
    Result<HttpResponse> route_vm(const HttpRequest& request, const VmRecord& record,
                                  const std::string& verb);
    Result<HttpResponse> create(const HttpRequest& request, api::VmRole role);
    Result<HttpResponse> list(api::VmRole role);
    Result<HttpResponse> get(const HttpRequest& request, const VmRecord& record);
    Result<HttpResponse> inspect(const VmRecord& record);
    Result<HttpResponse> get_sockets(const VmRecord& record);
    Result<HttpResponse> sgx(const VmRecord& record, api::vmm::SgxAction action);
    Result<HttpResponse> set_sgx(const HttpRequest& request, const VmRecord& record);
    Result<HttpResponse> set_policy(const HttpRequest& request, const VmRecord& asked);
    Result<HttpResponse> stop(const HttpRequest& request, const VmRecord& record);
    Result<HttpResponse> remove(const VmRecord& record);
    Result<HttpResponse> follow_console(const VmRecord& record);
    Result<HttpResponse> read_logs(const VmRecord& record);
    Result<HttpResponse> get_host();
    Result<HttpResponse> get_root();
    Result<HttpResponse> get_attestation();
    Result<HttpResponse> get_version();
    Result<HttpResponse> get_events(const HttpRequest& request);

    Result<VmRecord> find(const std::string& id_or_name, api::VmRole role);
    Result<Fd> take_token(const HttpRequest& request, const std::string& token);
    Result<ImageSource> open_image(const HttpRequest& request, const FileReference& image);
    Result<LaunchDisk> open_disk(const HttpRequest& request, const FileReference& disk);
    Result<Fd> make_spill_file(const LaunchRequest& launch) const;
    Result<Fd> console_ring(const std::string& id);

    Parts parts_;
    Config config_;
    std::shared_ptr<std::atomic<size_t>> console_readers_;
};

}  // namespace alcove::daemon
