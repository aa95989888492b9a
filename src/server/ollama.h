// Ollama's interface.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "http/exchange.h"
#include "server/answer.h"
#include "server/json.h"
#include "server/services.h"

namespace woolly::server::ollama {

/// Seconds that a model stays: a number, or text as "5m" or "1h30m" (without a unit: seconds). Below 0: for ever.
/// nullopt: not said.
Result<std::optional<double>> read_keep_alive(const Json& body);

/// What the bodies of POST /api/generate and /api/chat ask for; no prompt at all only loads the model. What is not said
/// of sampling is as Ollama has it: temperature 0.8, top_k 40, top_p 0.9; but no penalty of repetitions, which would
/// make the likeliest tokens others than in the other interfaces.
Result<Asked> read_generate(const Services& services, const http::Request& request);
Result<Asked> read_chat(const Services& services, const http::Request& request);

void generate(const Services& services, std::shared_ptr<http::Exchange> exchange);
void chat(const Services& services, std::shared_ptr<http::Exchange> exchange);
void tags(const Services& services, std::shared_ptr<http::Exchange> exchange);
void show(const Services& services, std::shared_ptr<http::Exchange> exchange);
void ps(const Services& services, std::shared_ptr<http::Exchange> exchange);
void version(const Services& services, std::shared_ptr<http::Exchange> exchange);

}  // namespace woolly::server::ollama
