#include "cli/bench_kernels.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "bench/kernel_report.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/version.h"
#include "kernels/dispatch.h"
#include "os/thread_pool.h"

namespace woolly::cli {
namespace {

using bench::Shape;
using kernels::KernelTable;

/// Large enough for every model; a matrix of that many rows and columns of a type with blocks of 256 has half a TiB.
constexpr std::size_t kMaxDimension = std::size_t{1} << 20U;

Error refusal(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

Result<quant::DType> parse_type(std::string_view text) {
  const auto same = std::ranges::find(quant::all_dtypes(), text, &quant::DTypeInfo::name);
  if (same != quant::all_dtypes().end()) return same->type;
  std::string names;
  for (const quant::DTypeInfo& info : quant::all_dtypes()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", info.name);
  }
  return refusal(fmt::format("\"{}\", allowed are {}", text, names));
}

Result<Shape> parse_shape(std::string_view text) {
  const std::size_t x = std::min(text.find('x'), text.size());
  const auto n_rows = parse_count(text.substr(0, x), 1, kMaxDimension);
  const auto k = parse_count(text.substr(std::min(x + 1, text.size())), 1, kMaxDimension);
  if (n_rows && k) return Shape{*n_rows, *k};
  return refusal(fmt::format("\"{}\", allowed is ROWSxK, such as 4096x4096: two whole numbers from 1 to {}", text,
                             kMaxDimension));
}

/// Of whole numbers from 1 to kMax.
template <std::size_t kMax>
Result<std::size_t> parse_size(std::string_view text) {
  if (const auto n = parse_count(text, 1, kMax)) return std::size_t{*n};
  return refusal(fmt::format("\"{}\", allowed are whole numbers from 1 to {}", text, kMax));
}

/// A flag that takes values parted by commas.
template <typename T, typename Parse>
CLI::Option* add_list(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
                      std::vector<T>& values, Parse parse) {
  return add_value(app, name, type, help, [&values, parse](const std::string& text) -> Status {
    values.clear();
    for (const std::string_view part : split_list(text)) {
      WOOLLY_TRY(values.emplace_back(), parse(part));
    }
    return {};
  });
}

template <typename T, typename Show>
std::string list(const std::vector<T>& values, Show show) {
  std::string text;
  for (const T& value : values) text += fmt::format("{}{}", text.empty() ? "" : ",", std::invoke(show, value));
  return text;
}

/// A flag that takes whole numbers parted by commas.
template <typename Parse>
CLI::Option* add_sizes(CLI::App& app, const std::string& name, const std::string& help,
                       std::vector<std::size_t>& values, Parse parse) {
  return add_list(app, name, "N,...", help, values, parse)->default_str(fmt::format("{}", fmt::join(values, ",")));
}

template <typename Report>
Status print(const Report& report, std::string command, const KernelArguments::Common& how) {
  for (const std::string& error : report.errors) print_error(error);
  const bench::Provenance provenance{version_number(), std::move(command)};
  if (how.as_json) return write_output(to_json(report, provenance));
  return write_output(how.as_csv ? to_csv(report, provenance) : to_text(report, provenance));
}

std::string_view type_name(quant::DType type) { return quant::info(type).name; }
std::string shape_name(const Shape& shape) { return fmt::format("{}x{}", shape.n_rows, shape.k); }

}  // namespace

KernelArguments::KernelArguments() {
  options_.shapes = {{4096, 4096}};
  options_.columns = {1, 2, 4, 8, 32, 512};
  attention_.head_dims = {64, 128};
  attention_.queries = {1, 4, kernels::kMaxQueries};
  attention_.keys = {512, 4096};
}

CLI::Option* KernelArguments::declare(CLI::App& app) {
  CLI::Option* kernels = app.add_flag_callback(
      "--kernels",
      [this, model = app.get_option("MODEL")] {
        are_given_ = true;
        model->required(false);
      },
      "Measure the matrix kernels; needs no MODEL");
  CLI::Option* types =
      add_list(app, "--types", "T,...", "Types of weights, such as Q4_K, or of keys and values; without it all",
               options_.types, parse_type);
  CLI::Option* cold = app.add_flag("--cold", options_.is_from_memory,
                                   "Read the weights, or keys and values, from memory; without it caches hold them");
  const std::vector<CLI::Option*> of_products = {
      add_list(app, "--shapes", "ROWSxK,...", "Shapes of matrices of weights", options_.shapes, parse_shape)
          ->default_str(list(options_.shapes, shape_name)),
      add_sizes(app, "--columns", "Columns of activations that are multiplied at once", options_.columns,
                parse_size<bench::KernelOptions::kMaxColumns>),
      app.add_flag("--blas", options_.with_blas,
                   "Measure OpenBLAS and oneDNN too; for F32 and BF16, in builds with -DWOOLLY_BENCH_BLAS=ON")};
  CLI::Option* isa = add_list(app, "--isa", "NAME,...", "Kernel tables; without it the one that a model would get",
                              options_.tables, kernels::find_table);
  CLI::Option* calls = app.add_flag("--calls", of_calls_, "Measure what calls cost; without --isa in all tables");
  CLI::Option* attention = app.add_flag("--attention", of_attention_, "Measure attention, not the matrix kernels");
  const std::vector<CLI::Option*> of_attention = {
      add_sizes(app, "--heads", "Sizes of heads", attention_.head_dims,
                parse_size<bench::AttentionOptions::kMaxHeadDim>),
      add_sizes(app, "--queries", "Queries of one key-value head that are attended at once", attention_.queries,
                parse_size<kernels::kMaxQueries>),
      add_sizes(app, "--keys", "Keys that each query sees", attention_.keys,
                parse_size<bench::AttentionOptions::kMaxKeys>)};
  for (CLI::Option* option : of_products) option->needs(kernels)->excludes(calls)->excludes(attention);
  for (CLI::Option* option : of_attention) option->needs(kernels)->needs(attention);
  for (CLI::Option* option : {types, cold}) option->needs(kernels)->excludes(calls);
  app.get_option("--blas")->excludes(cold);
  isa->needs(kernels);
  calls->needs(kernels)->excludes(attention);
  attention->needs(kernels);
  for (CLI::Option* option : of_products) hide_relations(*option);
  for (CLI::Option* option : of_attention) hide_relations(*option);
  for (CLI::Option* option : {types, cold, isa, calls, attention}) hide_relations(*option);
  return kernels;
}

Status KernelArguments::run(const Common& common) const {
  if (of_calls_) return run_calls(common);
  return of_attention_ ? run_attention(common) : run_products(common);
}

Status KernelArguments::run_products(const Common& common) const {
  bench::KernelOptions options = options_;
  options.n_repetitions = common.n_repetitions;
  options.with_roof = common.with_roof;
  if (options.types.empty()) {
    for (const quant::DTypeInfo& info : quant::all_dtypes()) options.types.push_back(info.type);
  }
  if (options.tables.empty()) {
    WOOLLY_TRY(options.tables.emplace_back(), kernels::choose_table());
  }
  WOOLLY_TRY(const std::unique_ptr<os::ThreadPool> pool, os::ThreadPool::create(common.n_threads));
  WOOLLY_TRY(const bench::KernelReport report, bench::run_kernel_bench(*pool, options));
  return print(report,
               fmt::format("woolly bench --kernels --types {} --shapes {} --columns {} --isa {}{}{} -t {} -r {}",
                           list(options.types, type_name), list(options.shapes, shape_name),
                           fmt::join(options.columns, ","), list(options.tables, &KernelTable::name),
                           options.is_from_memory ? " --cold" : options.with_blas ? " --blas" : "", options.with_roof ? "" : " --no-roof",
                           pool->size(), options.n_repetitions),
               common);
}

Status KernelArguments::run_attention(const Common& common) const {
  bench::AttentionOptions options = attention_;
  options.types = options_.types;
  options.tables = options_.tables;
  options.is_from_memory = options_.is_from_memory;
  options.n_repetitions = common.n_repetitions;
  options.with_roof = common.with_roof;
  if (options.tables.empty()) {
    WOOLLY_TRY(options.tables.emplace_back(), kernels::choose_table());
  }
  if (options.types.empty()) {
    const kernels::KvKernels* kvs = options.tables.front()->kvs;
    for (std::size_t i = 0; i < kernels::kKvTypes; ++i) options.types.push_back(kvs[i].type);
  }
  WOOLLY_TRY(const std::unique_ptr<os::ThreadPool> pool, os::ThreadPool::create(common.n_threads));
  WOOLLY_TRY(const bench::AttentionReport report, bench::run_attention_bench(*pool, options));
  return print(report,
               fmt::format("woolly bench --kernels --attention --types {} --heads {} --queries {} --keys {} --isa {}{}"
                           "{} -t {} -r {}",
                           list(options.types, type_name), fmt::join(options.head_dims, ","),
                           fmt::join(options.queries, ","), fmt::join(options.keys, ","),
                           list(options.tables, &KernelTable::name), options.is_from_memory ? " --cold" : "",
                           options.with_roof ? "" : " --no-roof", pool->size(), options.n_repetitions),
               common);
}

Status KernelArguments::run_calls(const Common& common) const {
  bench::CallOptions options;
  options.n_repetitions = common.n_repetitions;
  options.tables = options_.tables;
  const auto all = kernels::available_tables();
  if (options.tables.empty()) options.tables.assign(all.begin(), all.end());
  WOOLLY_TRY(const bench::CallReport report, bench::run_call_bench(options));
  return print(report,
               fmt::format("woolly bench --kernels --calls --isa {} -r {}", list(options.tables, &KernelTable::name),
                           options.n_repetitions),
               common);
}

}  // namespace woolly::cli
