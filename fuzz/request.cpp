// Bodies of requests: whatever they hold, they are read or refused, and what was read is the same after writing it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "server/fields.h"
#include "server/json.h"
#include "server/ollama.h"
#include "server/prompt.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace woolly;
  const auto body = server::parse_object({reinterpret_cast<const char*>(data), size});
  if (!body) return 0;
  const auto again = server::parse_object(server::dump(body.value()));
  WOOLLY_ASSERT(again && again.value() == body.value());

  SamplingOptions options;
  if (server::read_sampling(body.value(), options)) WOOLLY_ASSERT(sample::check_ranges(options));
  server::read_stops(body.value(), "stop").ignore("any outcome is fine");
  server::ollama::read_keep_alive(body.value()).ignore("any outcome is fine");
  constexpr server::Field kArray{"messages", server::FieldType::kArray};
  if (server::check_fields(body.value(), {&kArray, 1})) {
    constexpr std::string_view kRoles[] = {"system", "user", "assistant"};
    server::read_messages(body.value(), {kRoles, {}}).ignore("any outcome is fine");
  }
  return 0;
}
