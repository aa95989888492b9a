#include "http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>

#include "http/connection.h"

namespace woolly::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using IoError = boost::system::error_code;

/// So many more connections than allowed may read that there are too many; beyond, they are only closed.
constexpr std::size_t kRefusedAtOnce = 64;

/// The address that `host` means; IPv4 where it has both.
Result<asio::ip::address> resolve(const std::string& host) {
  const bool has_brackets = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
  IoError error;
  const auto address = asio::ip::make_address(has_brackets ? host.substr(1, host.size() - 2) : host, error);
  if (!error) return address;
  asio::io_context context;
  const auto found = tcp::resolver(context).resolve(host, "", error);
  if (error || found.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("\"{}\" is neither an address nor a name of this machine", host)};
  }
  const auto is_v4 = [](const auto& entry) { return entry.endpoint().address().is_v4(); };
  const auto v4 = std::find_if(found.begin(), found.end(), is_v4);
  return (v4 != found.end() ? v4 : found.begin())->endpoint().address();
}

class AsioServer final : public Server, public Hub {
 public:
  AsioServer(const ServerOptions& options, Service service)
      : limits_(options.limits),
        service_(std::move(service)),
        acceptor_(context_),
        pause_(context_),
        work_(asio::make_work_guard(context_)),
        mailbox_(std::make_shared<Mailbox>(context_)),
        workers_(options.n_workers),
        id_(fmt::format("req-{:08x}", std::random_device()())) {}

  ~AsioServer() override {
    mailbox_->post([this] {
      stop();
      while (!connections_.empty()) connections_.begin()->second->close();
      work_.reset();
    });
    if (io_thread_.joinable()) io_thread_.join();
    workers_.join();
    mailbox_->close();
  }
  AsioServer(const AsioServer&) = delete;
  AsioServer& operator=(const AsioServer&) = delete;

  Status listen(const tcp::endpoint& endpoint, const std::string& host) {
    IoError error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) endpoint_ = acceptor_.local_endpoint(error);
    if (error) return Error{ErrorCode::kIo, fmt::format("{}, port {}: {}", host, endpoint.port(), error.message())};
    accept();
    io_thread_ = std::thread([this] { run(); });
    return {};
  }

  std::uint16_t port() const override { return endpoint_.port(); }
  std::string address() const override { return endpoint_.address().to_string(); }
  std::size_t n_connections() const override { return n_connections_; }

  void stop_accepting() override {
    mailbox_->post([this] { stop(); });
  }

  bool wait_until_idle(std::chrono::milliseconds timeout) override {
    std::unique_lock lock(idle_mutex_);
    return idle_.wait_for(lock, timeout, [this] { return n_connections_ == 0; });
  }

 private:
  void refuse(Exchange& exchange) const {
    try {
      exchange.respond(service_.refuse(exchange.request(), 500, "the request could not be handled"));
    } catch (const std::exception&) {
      // Not even memory to say so is left.
    }
  }

  void run() {
    for (;;) {
      try {
        context_.run();
        return;
      } catch (const std::exception&) {
        // Out of memory. What was being done is lost, and its connection ends with its client or its deadline.
      }
    }
  }

  void accept() {
    acceptor_.async_accept([this](const IoError& error, tcp::socket socket) {
      if (is_draining_) return;
      if (!error) {
        take(std::move(socket));
        return accept();
      }
      // Out of descriptors, most likely: those that wait go on waiting.
      pause_.expires_after(std::chrono::milliseconds(100));
      pause_.async_wait([this](const IoError& cancelled) {
        if (!cancelled && !is_draining_) accept();
      });
    });
  }

  void take(tcp::socket socket) {
    if (connections_.size() >= limits_.connections + kRefusedAtOnce) return;
    const auto connection = std::make_shared<Connection>(*this, std::move(socket));
    connections_.emplace(connection.get(), connection);
    n_connections_ = connections_.size();
    if (connections_.size() <= limits_.connections) return connection->start();
    connection->start_refused(fmt::format("more than {} connections", limits_.connections));
  }

  void stop() {
    is_draining_ = true;
    IoError ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    std::vector<std::shared_ptr<Connection>> all;  // closing takes them out of the map
    for (const auto& [key, connection] : connections_) all.push_back(connection);
    for (const auto& connection : all) connection->drain();
  }

  const Limits& limits() const override { return limits_; }
  const Service& service() const override { return service_; }
  const std::shared_ptr<Mailbox>& mailbox() const override { return mailbox_; }
  bool is_draining() const override { return is_draining_; }
  std::string next_id() override { return fmt::format("{}{:06x}", id_, n_requests_++); }

  void handle(std::shared_ptr<Exchange> exchange) override {
    asio::post(workers_, [this, exchange = std::move(exchange)] {
      try {
        service_.handle(exchange);
      } catch (const std::exception&) {
        refuse(*exchange);
      }
    });
  }

  void remove(const Connection& connection) override {
    connections_.erase(&connection);
    const std::lock_guard lock(idle_mutex_);
    n_connections_ = connections_.size();
    if (connections_.empty()) idle_.notify_all();
  }

  const Limits limits_;
  const Service service_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::shared_ptr<Mailbox> mailbox_;
  asio::thread_pool workers_;
  tcp::endpoint endpoint_;
  std::thread io_thread_;

  // The I/O thread's.
  bool is_draining_ = false;
  std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
  const std::string id_;  ///< Begins the ids of all requests, and differs from one start of the server to the next.
  std::uint64_t n_requests_ = 0;

  std::atomic<std::size_t> n_connections_ = 0;
  std::mutex idle_mutex_;
  std::condition_variable idle_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Service service) {
  WOOLLY_TRY(const asio::ip::address address, resolve(options.host));
  auto server = std::make_unique<AsioServer>(options, std::move(service));
  WOOLLY_CHECK(server->listen({address, options.port}, options.host));
  return std::unique_ptr<Server>(std::move(server));
}

Result<bool> is_loopback(const std::string& host) {
  WOOLLY_TRY(const asio::ip::address address, resolve(host));
  return address.is_loopback();
}

}  // namespace woolly::http
