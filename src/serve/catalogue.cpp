#include "serve/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "arch/architecture.h"
#include "gguf/load.h"
#include "os/tensor_source.h"
#include "text/load.h"

namespace woolly::serve {
namespace {

Result<std::shared_ptr<const Card>> read_card(const std::string& name, const std::filesystem::path& path,
                                              std::size_t max_context) {
  auto card = std::make_shared<Card>();
  card->name = name;
  card->path = path;
  std::error_code failed;
  card->modified = std::filesystem::last_write_time(path, failed);
  card->file_bytes = std::filesystem::file_size(path, failed);
  WOOLLY_TRY(const os::TensorSource source, os::TensorSource::open(path));
  WOOLLY_TRY(card->file, gguf::load(source));
  const gguf::Metadata& metadata = card->file.metadata;
  WOOLLY_TRY(const arch::Architecture* architecture, arch::find(metadata));
  WOOLLY_TRY(const model::Spec spec, architecture->read_spec(metadata));
  WOOLLY_TRY(card->tokenizer, text::load_tokenizer(metadata));
  WOOLLY_TRY(const auto template_text, metadata.find_string("tokenizer.chat_template"));
  card->template_text = template_text.value_or("");
  card->chat_template = chat::Template::parse(card->template_text);
  card->n_choices = std::min<std::size_t>(spec.vocab_size, card->tokenizer->vocab_size());
  card->context_length = max_context == 0 ? spec.context_length : std::min<std::size_t>(spec.context_length, max_context);
  return std::shared_ptr<const Card>(std::move(card));
}

bool is_current(const Card& card) {
  std::error_code failed;
  return std::filesystem::last_write_time(card.path, failed) == card.modified &&
         std::filesystem::file_size(card.path, failed) == card.file_bytes && !failed;
}

}  // namespace

Error without_folder(Error error, const std::filesystem::path& file) {
  const std::string folder = (file.parent_path() / "").string();
  if (folder.empty()) return error;
  for (std::size_t at = 0; (at = error.message.find(folder, at)) != std::string::npos;) {
    error.message.erase(at, folder.size());
  }
  return error;
}

Catalogue::Catalogue(std::vector<std::filesystem::path> paths, store::Store store, std::size_t max_context)
    : paths_(std::move(paths)), store_(std::move(store)), max_context_(max_context) {}

std::map<std::string, std::filesystem::path> Catalogue::files() const {
  std::map<std::string, std::filesystem::path> files;
  for (const auto& path : paths_) files.try_emplace(path.stem().string(), path);
  for (const std::string& name : store_.names()) files.try_emplace(name, store_.folder() / (name + ".gguf"));
  return files;
}

std::vector<std::string> Catalogue::names() const {
  std::vector<std::string> names;
  for (const auto& [name, path] : files()) names.push_back(name);
  return names;
}

Result<std::shared_ptr<const Card>> Catalogue::find(std::string_view name) {
  std::string wanted(name);
  const auto all = files();
  if (!all.contains(wanted)) std::replace(wanted.begin(), wanted.end(), ':', '-');
  const auto file = all.find(wanted);
  if (file == all.end()) {
    std::string known;
    for (const auto& [other, path] : all) known += fmt::format("{}{}", known.empty() ? "" : ", ", other);
    return Error{ErrorCode::kNotFound, fmt::format("there is no model \"{}\"; {}", name,
                                                   known.empty() ? "none is here" : fmt::format("here are {}", known))};
  }
  {
    const std::scoped_lock lock(mutex_);
    const auto card = cards_.find(wanted);
    if (card != cards_.end() && is_current(*card->second)) return card->second;
  }
  auto card = read_card(wanted, file->second, max_context_);
  if (!card) return without_folder(std::move(card).error(), file->second);
  const std::scoped_lock lock(mutex_);
  return cards_[wanted] = *std::move(card);
}

}  // namespace woolly::serve
