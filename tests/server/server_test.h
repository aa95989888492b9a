// The handlers on a real scheduler with stories260K, without sockets.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/scheduler.h"
#include "server/support.h"
#include "support/shared.h"

namespace woolly::test {

/// What a numeric field may be sent to break what reads it, beside values that JSON has no way to write.
inline constexpr const char* kHostileNumbers[] = {"-1",
                                                  "0",
                                                  "0.5",
                                                  "1e-320",
                                                  "1e39",
                                                  "-1e39",
                                                  "1e308",
                                                  "-1e308",
                                                  "2147483648",
                                                  "-2147483649",
                                                  "4294967296",
                                                  "9223372036854775807",
                                                  "9223372036854775808",
                                                  "-9223372036854775808",
                                                  "-9223372036854775809",
                                                  "18446744073709551615",
                                                  "18446744073709551616",
                                                  "-0.0",
                                                  "[]",
                                                  "{}",
                                                  "true",
                                                  "\"1\""};

/// Sends each hostile number as the member `name` of `object` (a place in `body`): `read` accepts it, or names the
/// field.
template <typename Read>
void expect_range(server::Json body, const server::Json::json_pointer& object, const std::string& name, Read read) {
  for (const char* number : kHostileNumbers) {
    body[object][name] = server::Json::parse(number);
    const auto asked = read(body);
    if (asked) continue;
    EXPECT_EQ(asked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(asked.error().message.find(name + ": "), std::string::npos) << asked.error().message;
    EXPECT_NE(asked.error().message.find("allowed is "), std::string::npos) << asked.error().message;
  }
}

class ServerTest : public testing::Test {
 protected:
  static constexpr const char* kModel = "stories260K";

  /// Skips the test where the reference files are missing.
  void SetUp() override;

  using HandlerFunction = void (*)(const server::Services&, std::shared_ptr<http::Exchange>);
  Reply post(HandlerFunction handler, const server::Json& body);
  Reply get(HandlerFunction handler, const std::string& path);

  static http::Request request(const server::Json& body);
  [[nodiscard]] const server::Services& services() const;

  /// The likeliest continuation of "Once upon a time", as `woolly run` picks it.
  [[nodiscard]] std::string continuation(std::size_t n_tokens) const;
  /// The tokens of a text, with BOS.
  [[nodiscard]] server::Json token_ids(std::string_view text) const;
  [[nodiscard]] std::size_t n_ctx() const;

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

}  // namespace woolly::test
