// OpenAI's interface: chat completions, completions and the list of models.
#pragma once

#include <memory>

#include "http/exchange.h"
#include "server/answer.h"
#include "server/services.h"

namespace woolly::server::openai {

/// What the bodies of POST /v1/chat/completions and /v1/completions ask for. What is not said of sampling is as OpenAI
/// has it: temperature 1, no filters; 16 tokens at most from /v1/completions.
Result<Asked> read_chat_completion(const Services& services, const http::Request& request);
Result<Asked> read_completion(const Services& services, const http::Request& request);

void chat_completions(const Services& services, std::shared_ptr<http::Exchange> exchange);
void completions(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// GET /v1/models
void list_models(const Services& services, std::shared_ptr<http::Exchange> exchange);
/// GET /v1/models/{id}
void get_model(const Services& services, std::shared_ptr<http::Exchange> exchange);

}  // namespace woolly::server::openai
