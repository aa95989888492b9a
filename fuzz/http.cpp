// What the server reads of a request by itself: targets, hosts, origins, keys. And names of files that may be parts of others.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "http/access.h"
#include "http/message.h"
#include "os/tensor_source.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace woolly;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto target = http::parse_target(text)) {
    WOOLLY_ASSERT(target->path.find('\0') == std::string::npos);
    WOOLLY_ASSERT(target->path.size() + target->query.size() <= text.size());
  }
  if (const auto host = http::host_without_port(text)) WOOLLY_ASSERT(host->size() <= text.size());

  static const http::Access access = std::move(http::Access::create({.bound_host = "127.0.0.1", .keys = {"key"}})).value();
  WOOLLY_ASSERT(!access.allows_host(text) || http::host_without_port(text));
  WOOLLY_ASSERT(!access.allows_origin(text) || text.starts_with("http"));
  http::Request request;
  request.headers = {{"authorization", text}};
  const bool is_right = text.size() >= 10 && text.ends_with("key") && text.find_first_of("\r\n") == std::string::npos;
  WOOLLY_ASSERT(!access.key_of(request) || is_right);
  http::Access::create({.bound_host = text, .hosts = {text}, .origins = {text}, .keys = {text}}).ignore("any outcome is fine");

  // In a folder that is not there, so that nothing is opened whatever the name.
  std::string name = text.substr(0, 100);
  for (char& c : name) c = c == '/' || c == '\0' ? '-' : c;
  WOOLLY_ASSERT(!os::TensorSource::open("/nonexistent-woolly/" + name));
  return 0;
}
