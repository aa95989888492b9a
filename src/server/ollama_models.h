// What Ollama's interface tells of models.
#pragma once

#include "serve/scheduler.h"
#include "server/json.h"

namespace woolly::server::ollama {

/// A row of /api/tags. `digest` changes when the file does, but is no hash of all its bytes, which would take long.
Json tag_json(const serve::Card& card);

/// A row of /api/ps.
Json ps_json(const serve::Card& card, const serve::Scheduler::Resident& resident);

/// The answer of /api/show: the metadata of the file, without arrays unless `with_arrays`.
Json show_json(const serve::Card& card, bool with_arrays);

}  // namespace woolly::server::ollama
