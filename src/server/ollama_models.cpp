#include "server/ollama_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "quant/dtype.h"
#include "server/report.h"

namespace woolly::server::ollama {
namespace {

/// FNV-1a of 64 bits (http://www.isthe.com/chongo/tech/comp/fnv).
std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return hash;
}

/// As long as clients expect it to be.
std::string digest(const serve::Card& card) {
  std::string text;
  for (int part = 0; part < 4; ++part) {
    text += fmt::format("{:016x}", fnv1a(fmt::format("{}/{}/{}/{}", part, card.name, card.file_bytes,
                                                     card.modified.time_since_epoch().count())));
  }
  return text;
}

std::string metadata_string(const serve::Card& card, std::string_view key) {
  const auto text = card.file.metadata.get_string(key);
  return text ? std::string(text.value()) : std::string();
}

std::uint64_t metadata_number(const serve::Card& card, std::string_view key) {
  const auto number =
      card.file.metadata.get_uint(fmt::format("{}.{}", metadata_string(card, "general.architecture"), key));
  return number ? number.value() : 0;
}

/// "134.5M"
std::string size_name(std::uint64_t n_parameters) {
  const auto n = static_cast<double>(n_parameters);
  if (n >= 1e9) return fmt::format("{:.1f}B", n / 1e9);
  if (n >= 1e6) return fmt::format("{:.1f}M", n / 1e6);
  return fmt::format("{:.0f}K", n / 1e3);
}

Json details_json(const serve::Card& card) {
  std::uint64_t n_parameters = 0;
  std::map<quant::DType, std::uint64_t> shares;
  for (const gguf::TensorView& tensor : card.file.tensors()) {
    const std::uint64_t n = tensor.n_cols() * tensor.n_rows();
    n_parameters += n;
    shares[tensor.type] += n;
  }
  const auto largest = std::ranges::max_element(shares, {}, [](const auto& share) { return share.second; });
  const std::string family = metadata_string(card, "general.architecture");
  return {{"parent_model", ""},
          {"format", "gguf"},
          {"family", family},
          {"families", Json::array({family})},
          {"parameter_size", size_name(n_parameters)},
          {"quantization_level", largest == shares.end() ? "" : quant::info(largest->first).name},
          {"context_length", card.context_length},
          {"embedding_length", metadata_number(card, "embedding_length")}};
}

Json capabilities() { return Json::array({"completion"}); }

Json value_json(const gguf::Metadata& metadata, const gguf::Metadata::Entry& entry) {
  switch (entry.value.type) {
    case gguf::ValueType::kString:
      return metadata.get_string(entry.key).value();
    case gguf::ValueType::kBool:
      return metadata.get_bool(entry.key).value();
    case gguf::ValueType::kF32:
    case gguf::ValueType::kF64: {
      const auto number = metadata.get_float(entry.key);
      return number ? Json(number.value()) : Json();
    }
    case gguf::ValueType::kArray: {
      if (entry.value.element_type == gguf::ValueType::kString) return entry.value.strings;
      if (const auto ints = metadata.ints(entry.key)) return ints.value();
      const auto floats = metadata.floats(entry.key);
      return floats ? Json(floats.value()) : Json();
    }
    default: {
      if (const auto number = metadata.get_uint(entry.key)) return number.value();
      const auto number = metadata.find_int(entry.key);
      return number ? Json(*number.value()) : Json();
    }
  }
}

}  // namespace

Json tag_json(const serve::Card& card) {
  return {{"name", card.name},
          {"model", card.name},
          {"modified_at", timestamp(modified(card))},
          {"size", card.file_bytes},
          {"digest", digest(card)},
          {"details", details_json(card)},
          {"capabilities", capabilities()}};
}

Json ps_json(const serve::Card& card, const serve::Scheduler::Resident& resident) {
  constexpr double kForEver = 3.2e9;  // a century, as clients want a date
  const std::chrono::duration<double> left(resident.expires_in < 0 ? kForEver
                                                                   : std::min(resident.expires_in, kForEver));
  const auto expires = std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::seconds>(left);
  return {{"name", card.name},
          {"model", card.name},
          {"size", resident.bytes},
          {"digest", digest(card)},
          {"details", details_json(card)},
          {"expires_at", timestamp(expires)},
          {"size_vram", 0},
          {"context_length", resident.n_ctx}};
}

Json show_json(const serve::Card& card, bool with_arrays) {
  Json info = Json::object();
  for (const gguf::Metadata::Entry& entry : card.file.metadata.entries()) {
    if (entry.value.type == gguf::ValueType::kArray && !with_arrays) continue;
    if (entry.key == "tokenizer.chat_template") continue;  // that is `template`
    info[std::string(entry.key)] = value_json(card.file.metadata, entry);
  }
  return {{"license", metadata_string(card, "general.license")},
          {"modelfile", fmt::format("FROM {}\n", card.name)},
          {"parameters", ""},
          {"template", card.template_text},
          {"details", details_json(card)},
          {"model_info", std::move(info)},
          {"capabilities", capabilities()},
          {"modified_at", timestamp(modified(card))}};
}

}  // namespace woolly::server::ollama
