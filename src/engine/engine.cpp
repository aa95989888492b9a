#include <utility>

#include "engine/parts.h"
#include "kernels/dispatch.h"

namespace woolly {

Result<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options) {
  auto parts = std::make_unique<Parts>();
  WOOLLY_TRY(parts->kernels, kernels::choose_table());
  WOOLLY_TRY(parts->pool, os::ThreadPool::create(options.n_threads));
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() = default;

std::string_view Engine::isa() const noexcept { return parts_->kernels->name; }
std::size_t Engine::n_threads() const noexcept { return parts_->pool->size(); }

}  // namespace woolly
