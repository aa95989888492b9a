// Anthropic's interface: messages and the counting of their tokens.
#pragma once

#include <memory>
#include <string>

#include "http/exchange.h"
#include "server/answer.h"
#include "server/services.h"

namespace woolly::server::anthropic {

/// What the body of POST /v1/messages asks for. What is not said of sampling is as Anthropic has it: temperature 1, no
/// filters. An answer that the messages begin is continued.
Result<Asked> read_message(const Services& services, const http::Request& request);

/// A system prompt without the lines that Claude Code puts in front for its billing. They differ in every request, and
/// would keep it from sharing what is computed of the prompt.
std::string without_billing_header(std::string_view system);

void messages(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// POST /v1/messages/count_tokens
void count_tokens(const Services& services, std::shared_ptr<http::Exchange> exchange);

}  // namespace woolly::server::anthropic
