// woolly serve: models over HTTP, through the interfaces of OpenAI, Ollama and Anthropic.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/version.h"
#include "http/access.h"
#include "http/server.h"
#include "os/process.h"
#include "os/standard_streams.h"
#include "os/termination.h"
#include "os/thread_pool.h"
#include "serve/catalogue.h"
#include "serve/scheduler.h"
#include "server/routes.h"
#include "store/store.h"

namespace woolly::cli {
namespace {

/// Of the last bytes of answers, once the work is done.
constexpr std::chrono::seconds kTimeToSend{2};
/// More than a machine has.
constexpr std::uint64_t kMaxMemory = std::uint64_t{1} << 50U;
constexpr std::uint64_t kMaxParallel = 256;
constexpr std::uint64_t kMaxWaiting = 100'000;
/// A day; it only says for how long what was begun may still be finished.
constexpr std::uint64_t kMaxDrain = 86'400;

struct ServeOptions {
  std::vector<std::string> models;
  std::size_t n_threads = 0;
  http::ServerOptions server;
  http::AccessOptions access;
  std::optional<std::string> key_file;
  bool is_insecure = false;
  serve::SchedulerOptions scheduler;
  SessionOptions session;  ///< What the flags that all commands have set: chunk and type of the cache.
  std::size_t n_ctx = 0;
  std::uint64_t drain_seconds = 30;
  std::optional<server::LogForm> log_form;
};

/// The keys of --api-key and --api-key-file.
Result<std::vector<std::string>> keys_of(const ServeOptions& options) {
  std::vector<std::string> keys = options.access.keys;
  if (options.key_file) {
    WOOLLY_TRY(const std::vector<std::string> of_file, http::read_keys(*options.key_file));
    if (of_file.empty()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("{}: no key in it, needed is at least one", *options.key_file)};
    }
    keys.insert(keys.end(), of_file.begin(), of_file.end());
  }
  WOOLLY_TRY(const bool is_loopback, http::is_loopback(options.server.host));
  if (!is_loopback && keys.empty() && !options.is_insecure) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("--host {} can be reached by other machines: give --api-key or --api-key-file, or say "
                             "--insecure to let everybody in",
                             options.server.host)};
  }
  return keys;
}

/// The files of the models that were named, each under a name of its own.
Result<std::vector<std::filesystem::path>> find_models(const std::vector<std::string>& models,
                                                       const store::Store& store) {
  std::vector<std::filesystem::path> paths;
  for (const std::string& model : models) {
    WOOLLY_TRY(const auto path, store.resolve(model));
    const auto same = std::ranges::find(paths, path.stem(), [](const auto& other) { return other.stem(); });
    if (same != paths.end()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("{} and {} would both be served as \"{}\"", same->string(),
                                                            path.string(), path.stem().string())};
    }
    paths.push_back(path);
  }
  return paths;
}

std::string url_of(const http::Server& server) {
  const std::string address = server.address();
  const bool is_v6 = address.find(':') != std::string::npos;
  return is_v6 ? fmt::format("http://[{}]:{}", address, server.port())
               : fmt::format("http://{}:{}", address, server.port());
}

Status serve(const ServeOptions& options) {
  os::Termination termination;
  os::raise_file_limit();
  http::AccessOptions access_options = options.access;
  access_options.bound_host = options.server.host;
  WOOLLY_TRY(access_options.keys, keys_of(options));
  WOOLLY_TRY(const http::Access access, http::Access::create(std::move(access_options)));

  const store::Store store = store::Store::from_environment();
  WOOLLY_TRY(const auto paths, find_models(options.models, store));
  serve::Catalogue catalogue(paths, store, options.n_ctx);
  std::vector<std::shared_ptr<const serve::Card>> named;
  for (const auto& path : paths) {
    WOOLLY_TRY(auto card, catalogue.find(path.stem().string()));
    for (const std::string& warning : card->tokenizer->warnings()) print_warning(warning);
    named.push_back(std::move(card));
  }

  server::Log log(options.log_form.value_or(os::standard_error_is_terminal() ? server::LogForm::kHuman
                                                                             : server::LogForm::kJson),
                  stderr);
  WOOLLY_TRY(const auto engine, Engine::create({.n_threads = options.n_threads}));
  serve::SchedulerOptions scheduler_options = options.scheduler;
  scheduler_options.chunk = options.session.chunk;
  scheduler_options.kv_type = options.session.kv_type;
  WOOLLY_TRY(const auto scheduler, serve::Scheduler::start(*engine, scheduler_options));
  const server::Services services{catalogue, *scheduler, version_number(), named.empty() ? "" : named[0]->name};
  WOOLLY_TRY(const auto server,
             http::Server::start(options.server, server::make_service(services, access, log)));
  WOOLLY_CHECK(write_output(fmt::format("listening on {}\n", url_of(*server))));
  for (const auto& card : named) {
    scheduler->preload(card, [&log, name = card->name](const Status& status) {
      log.event(status ? fmt::format("loaded {}", name)
                       : fmt::format("cannot load {}: {}", name, status.error().message));
    });
  }

  termination.wait();
  log.event("shutting down");
  server->stop_accepting();
  scheduler->drain(static_cast<double>(options.drain_seconds));
  server->wait_until_idle(kTimeToSend);
  return {};
}

Take take_keep_alive(double& seconds) {
  return [&seconds](const std::string& text) -> Status {
    const auto n = parse_count(text, 0, kMaxCount);
    if (!n && text != "-1") {
      return Error{ErrorCode::kInvalidArgument, fmt::format("\"{}\", allowed is a whole number of seconds, or -1", text)};
    }
    seconds = n ? static_cast<double>(*n) : -1;
    return {};
  };
}

Take take_log_form(std::optional<server::LogForm>& form) {
  return [&form](const std::string& text) -> Status {
    if (text != "human" && text != "json") {
      return Error{ErrorCode::kInvalidArgument, fmt::format("\"{}\", allowed is human or json", text)};
    }
    form = text == "json" ? server::LogForm::kJson : server::LogForm::kHuman;
    return {};
  };
}

Take append_to(std::vector<std::string>& values) {
  return [&values](const std::string& text) -> Status {
    values.push_back(text);
    return {};
  };
}

void add_many(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
              std::vector<std::string>& values) {
  add_value(app, name, type, help, append_to(values))->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void declare_network(CLI::App& app, ServeOptions& options) {
  add_value(app, "--host", "ADDRESS", "What to listen on; beyond this machine only with keys, or --insecure",
            [&options](const std::string& text) -> Status {
              options.server.host = text;
              return {};
            })
      ->default_str(options.server.host);
  add_count(
      app, "--port", "0 for any that is free",
      [&options](std::uint64_t port) { options.server.port = static_cast<std::uint16_t>(port); }, 0, UINT16_MAX)
      ->default_str(std::to_string(options.server.port));
  add_many(app, "--api-key", "KEY", "Lets in who knows it; may be given more than once", options.access.keys);
  add_text(app, "--api-key-file", "FILE", "The same for each line of a file", options.key_file);
  app.add_flag("--insecure", options.is_insecure, "Listens beyond this machine without keys");
  add_many(app, "--allow-host", "NAME", "A further name by which this server is called; * for any",
           options.access.hosts);
  add_many(app, "--allow-origin", "ORIGIN", "A web page's origin (https://chat.example) that may ask; * for any",
           options.access.origins);
  add_count(
      app, "--drain-seconds", "On Ctrl-C and SIGTERM, time for requests to be finished",
      [&options](std::uint64_t n) { options.drain_seconds = n; }, 0, kMaxDrain)
      ->default_str(std::to_string(options.drain_seconds));
  add_value(app, "--log", "human|json", "Lines on standard error; without it human on a terminal, else JSON",
            take_log_form(options.log_form));
}

void declare_scheduler(CLI::App& app, ServeOptions& options) {
  add_count(
      app, "--parallel", "Sequences that run at once; without it as many as memory allows, at most 16",
      [&options](std::uint64_t n) { options.scheduler.n_parallel = n; }, 1, kMaxParallel);
  add_count(
      app, "--queue", "Requests that may wait; one more is answered by 503",
      [&options](std::uint64_t n) { options.scheduler.n_waiting = n; }, 1, kMaxWaiting)
      ->default_str(std::to_string(options.scheduler.n_waiting));
  add_size(
      app, "--memory", "For weights, workspaces, keys and values; without it 80 % of what is free",
      [&options](std::uint64_t bytes) { options.scheduler.memory = bytes; }, kMaxMemory);
  add_value(app, "--keep-alive", "SECONDS", "How long a model stays without work; -1 for ever",
            take_keep_alive(options.scheduler.keep_alive))
      ->default_str(fmt::format("{}", options.scheduler.keep_alive));
  add_count(
      app, "-c", "Most tokens of a conversation; without it as many as a model was made for",
      [&options](std::uint64_t n) { options.n_ctx = n; }, 1, kMaxContext);
  add_count(
      app, "-t", "Threads; without it one for each core that this process may use",
      [&options](std::uint64_t n) { options.n_threads = n; }, 1, os::ThreadPool::kMaxThreads);
  app.add_flag("--mmap", options.scheduler.load.map_file, "Compute from the mapped files, without packed copies");
  add_chunk_flag(app, options.session);
  add_kv_type_flag(app, options.session);
}

}  // namespace

Action declare_serve(CLI::App& app) {
  const auto options = std::make_shared<ServeOptions>();
  app.add_option("MODEL", options->models,
                 "GGUF files, or names of models in the store, to load at the start; those of the store can be asked for "
                 "in any case")
      ->type_name("")
      ->expected(0, -1);
  declare_network(app, *options);
  declare_scheduler(app, *options);
  app.footer(
      "One port speaks the interfaces of OpenAI (/v1), Ollama (/api) and Anthropic (/v1/messages); see\n"
      "docs/guides/interfaces.md. The address goes to standard output, the log to standard error. Ctrl-C finishes what was\n"
      "begun; a second one ends at once.\n"
      "\n"
      "Examples:\n"
      "  woolly serve smollm2:135m\n"
      "  woolly serve --port 11434 --parallel 4 --memory 8G\n"
      "  woolly serve smollm2:135m --host 0.0.0.0 --api-key-file keys.txt --log json");
  return [options] { return serve(*options); };
}

}  // namespace woolly::cli
