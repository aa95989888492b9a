// Who may ask: the names that this server is called by, the origins of web pages, and API keys.
//
// A web page may not reach a server on its reader's own machine: neither under a name of its own that turns into this
// address (DNS rebinding, told by Host) nor from a foreign page (told by Origin).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/exchange.h"
#include "woolly/error.h"

namespace woolly::http {

struct AccessOptions {
  std::string bound_host{};          ///< What is listened on, as it was asked for.
  std::vector<std::string> hosts{};  ///< Further names that Host may give; "*": any.
  std::vector<std::string> origins{};  ///< Further origins ("https://chat.example"); "*": any.
  std::vector<std::string> keys{};   ///< Empty: nobody needs one.
};

/// Immutable; any thread.
class Access {
 public:
  /// kInvalidArgument for a host, an origin or a key that no request could carry; the message does not show keys.
  static Result<Access> create(AccessOptions options);

  /// Whether `host`, the value of Host, is a loopback name, the bound host or one of the further names. Where every
  /// address is listened on (0.0.0.0, ::), also any numeric address: only names can be rebound.
  [[nodiscard]] bool allows_host(std::string_view host) const;

  /// Whether `origin`, the value of Origin, is a page of a loopback name or one of the further origins.
  [[nodiscard]] bool allows_origin(std::string_view origin) const;

  /// A name for the key that the request carries as `Authorization: Bearer` or `x-api-key`: "key-1" for the first; empty
  /// where nobody needs one. Nothing where it carries none that is right. Takes the same time for every wrong key of a
  /// length.
  [[nodiscard]] std::optional<std::string> key_of(const Request& request) const;

 private:
  explicit Access(AccessOptions options) : options_(std::move(options)) {}
  AccessOptions options_;
};

/// The keys of a file, one a line; blank lines and what follows '#' at the begin of a line are left out. kIo, kNotFound.
Result<std::vector<std::string>> read_keys(const std::string& file);

}  // namespace woolly::http
