// THE table of routes: which handler answers which method and path, and who may ask.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "http/access.h"
#include "http/server.h"
#include "server/errors.h"
#include "server/log.h"
#include "server/services.h"

namespace woolly::server {

/// One row.
struct Route {
  std::string_view method;  ///< "GET" stands for HEAD too.
  std::string_view path;    ///< A last part in braces stands for whatever follows, but not for nothing.
  Dialect dialect;          ///< Of its errors.
  bool needs_key;           ///< Where the server has keys.
  void (*handle)(const Services&, std::shared_ptr<http::Exchange>);
};

std::span<const Route> all_routes();

/// What a server serves: requests to the handlers of the table. Host and Origin are checked first (403), then path (404),
/// method (405) and key (401); preflight requests of allowed origins are answered. All three outlive the server.
http::Service make_service(const Services& services, const http::Access& access, Log& log);

}  // namespace woolly::server
