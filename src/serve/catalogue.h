// The models that can be asked for, and what is known of each without its weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "chat/template.h"
#include "gguf/gguf.h"
#include "store/store.h"
#include "woolly/error.h"
#include "woolly/tokenizer.h"

namespace woolly::serve {

/// Read from a file's header. Immutable; any thread may read.
struct Card {
  std::string name;            ///< As clients say it: the file's name without .gguf.
  std::filesystem::path path;
  gguf::File file;             ///< Metadata and the table of tensors.
  std::unique_ptr<const Tokenizer> tokenizer;
  std::string template_text;   ///< `tokenizer.chat_template`; empty: none.
  /// The same, parsed, or why it cannot be: such a model still continues texts.
  Result<chat::Template> chat_template = Error{ErrorCode::kInternal, "no template was read"};
  std::size_t n_choices = 0;   ///< Tokens to choose from: some models have more logits than their vocabulary has tokens.
  std::size_t context_length = 0;  ///< Positions of a sequence: the model's, or fewer where the server was told so.
  std::uint64_t file_bytes = 0;
  std::filesystem::file_time_type modified;
};

/// `error`, whose message names the folder of `file` nowhere: where models lie is nobody's business who asks over a network.
Error without_folder(Error error, const std::filesystem::path& file);

/// Those that were named at the start and those of the store. Any thread may call.
class Catalogue {
 public:
  /// `paths` are files that are served by their names without .gguf, before those of the store. `max_context`: 0 for the
  /// models' own.
  Catalogue(std::vector<std::filesystem::path> paths, store::Store store, std::size_t max_context);

  /// Sorted, each once.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Reads the header on first use, and again when the file has changed. A ':' in `name` stands for '-', as in the
  /// store. kNotFound lists what there is; a file that cannot be served is another error, naming it.
  Result<std::shared_ptr<const Card>> find(std::string_view name);

 private:
  [[nodiscard]] std::map<std::string, std::filesystem::path> files() const;

  std::vector<std::filesystem::path> paths_;
  store::Store store_;
  std::size_t max_context_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Card>> cards_;
};

}  // namespace woolly::serve
