// SPDX-License-Identifier: Apache-2.0
#include "daemon/http_server.hpp"

#include <charconv>
#include <list>
#include <mutex>
#include <thread>

#include "daemon/http_stream.hpp"
#include "support/event_fd.hpp"
#include "support/log.hpp"
#include "support/system.hpp"

namespace alcove::daemon {

namespace {

HttpRequest to_request(const httplib::Request& from) {
    HttpRequest request;
    request.method = from.method;
    request.path = from.path;
    for (const auto& [name, value] : from.params)
        request.query[name] = value;
    request.body = from.body;
    std::from_chars(from.remote_addr.data(), from.remote_addr.data() + from.remote_addr.size(), request.user);
    return request;
}

void give(HttpResponse from, httplib::Response& to) {
    to.status = from.status;
    if (!from.stream) {
        to.set_content(from.body, from.content_type);
        return;
    }
    to.set_chunked_content_provider(from.content_type,
                                    [stream = std::move(from.stream)](size_t, httplib::DataSink& sink) {
                                        if (!sink.is_writable()) return false;  // the reader has gone
                                        const auto piece = stream();
                                        // An empty chunk would be the end of the body.
                                        if (piece && !piece->empty())
                                            return sink.write(piece->data(), piece->size());
                                        if (!piece) sink.done();
                                        return true;
                                    });
}

}  // namespace

// The library's server with its own accepting left out: what is used is the parsing and the answering.
class HttpServer::Implementation final : public httplib::Server {
  public:
    Implementation(Fd listener, EventFd wake, HttpLimits limits, HttpServer::Handler handler,
                   ErrorBody error_body)
        : listener_(std::move(listener)),
          wake_(std::move(wake)),
          limits_(limits),
          handler_(std::move(handler)),
          error_body_(std::move(error_body)) {
        svr_sock_ = listener_.get();  // -1 would mean to the library that it is being stopped
        set_payload_max_length(limits_.body_bytes);
        set_pre_routing_handler(
            [this](const auto& request, auto& response) { return route(request, response); });
        Post(R"(/.*)", [this](const httplib::Request& request, httplib::Response& response) {
            give(handler_(to_request(request)), response);
        });
        set_error_handler([this](const httplib::Request&, httplib::Response& response) {
            if (response.body.empty()) response.set_content(error_body_(response.status), "application/json");
        });
        set_exception_handler(
            [this](const httplib::Request&, httplib::Response& response, const std::exception_ptr&) {
                response.status = 500;
                response.set_content(error_body_(500), "application/json");
            });
        acceptor_ = std::thread([this] { accept_all(); });
    }

    ~Implementation() override {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            svr_sock_ = INVALID_SOCKET;
            for (const auto& worker : workers_)
                ::shutdown(worker.socket.get(), SHUT_RDWR);
        }
        wake_.signal();
        acceptor_.join();
        for (auto& worker : workers_)
            worker.thread.join();
    }

  private:
    struct Worker {
        Fd socket;
        std::thread thread;
        bool done = false;
    };

    // Everything without a body is answered here, so that the library's patterns never see a path from
    // outside that is not short.
    HandlerResponse route(const httplib::Request& request, httplib::Response& response) {
        const auto refuse = [&](int status) {
            response.status = status;
            response.set_content(error_body_(status), "application/json");
            return HandlerResponse::Handled;
        };
        if (request.path.size() > limits_.path_bytes) return refuse(414);
        if (request.method == "GET" || request.method == "DELETE") {
            give(handler_(to_request(request)), response);
            return HandlerResponse::Handled;
        }
        if (request.method != "POST") return refuse(405);
        // A compressed body could unfold to any size; a form is nothing that is asked for here.
        if (request.has_header("Content-Encoding")) return refuse(415);
        if (request.get_header_value("Content-Type").find("json") == std::string::npos) return refuse(415);
        return HandlerResponse::Unhandled;
    }

    void accept_all() {
        bool full = false;
        while (true) {
            // A client beyond the limit stays in the listener's queue until another's turn is over.
            std::array<pollfd, 2> waiting{
                {{.fd = full ? -1 : listener_.get(), .events = POLLIN, .revents = 0},
                 {.fd = wake_.fd().get(), .events = POLLIN, .revents = 0}}};
            ::poll(waiting.data(), waiting.size(), -1);
            bool accepted = true;
            {
                const std::lock_guard lock(mutex_);
                if (stopping_) return;
                if ((waiting[1].revents & POLLIN) != 0) wake_.drain();
                reap();
                if ((waiting[0].revents & POLLIN) != 0) accepted = accept_one();
                full = workers_.size() >= limits_.connections;
            }
            // Out of descriptors: the client stays in the queue, and asking at once again would not help it.
            if (!accepted) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }

    // With the lock.
    void reap() {
        std::erase_if(workers_, [](Worker& worker) {
            if (!worker.done) return false;
            worker.thread.join();
            return true;
        });
    }

    // With the lock. False when the kernel had no descriptor to give.
    bool accept_one() {
        auto socket = sys::accept(listener_);
        if (!socket) return false;
        const auto credentials = sys::peer_credentials(*socket);
        if (!credentials) return true;
        Worker& worker = workers_.emplace_back();
        worker.socket = std::move(*socket);
        worker.thread = std::thread([this, &worker, user = credentials->uid] { serve(worker, user); });
        return true;
    }

    void serve(Worker& worker, uid_t user) {
        HttpStream stream(worker.socket.get(), user, limits_);
        bool closed = false;
        process_request(stream, true, closed, nullptr);
        const std::lock_guard lock(mutex_);
        // The client sees the end now; the thread is joined at the next turn.
        ::shutdown(worker.socket.get(), SHUT_RDWR);
        worker.socket.reset();
        worker.done = true;
        wake_.signal();
    }

    Fd listener_;
    EventFd wake_;
    HttpLimits limits_;
    HttpServer::Handler handler_;
    ErrorBody error_body_;
    std::mutex mutex_;           // guards the two below, and the workers' sockets and marks
    std::list<Worker> workers_;  // addresses stay: their threads refer to them
    bool stopping_ = false;
    std::thread acceptor_;
};

HttpServer::HttpServer(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::start(Fd listener, HttpLimits limits, Handler handler,
                                                      ErrorBody error_body) {
    auto wake = TRY(EventFd::create());
    auto implementation = std::make_unique<Implementation>(std::move(listener), std::move(wake), limits,
                                                           std::move(handler), std::move(error_body));
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(implementation)));
}

}  // namespace alcove::daemon
