#include "bench/kernel_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kernels/dispatch.h"

namespace woolly::bench {
namespace {

using nlohmann::json;

KernelReport some_report() {
  KernelReport report;
  report.machine = "Processor, 2 threads";
  report.n_threads = 2;
  report.is_from_memory = true;
  report.roofs = {{kernels::available_tables().front(), Roof{40e9, 900e9, 1U << 30U, 230e9, 0}}};
  report.rows = {{quant::DType::kQ4_K, {4096, 2048}, 4, "scalar", {450e9, 0.01}, 25e9, 0.5, 0.625},
                 {quant::DType::kF32, {64, 64}, 1, "scalar", {23e9, 0.02}, 46e9, 0.1, std::nullopt}};
  report.errors = {"error of the roof"};
  return report;
}

TEST(KernelReport, JsonHasTheKeysThatProgramsRelyOn) {
  const json parsed = json::parse(to_json(some_report(), {"0.1", "woolly bench --kernels"}));
  EXPECT_EQ(parsed["machine"], "Processor, 2 threads");
  EXPECT_EQ(parsed["weights"], "memory");
  EXPECT_EQ(parsed["version"], "0.1");
  EXPECT_EQ(parsed["command"], "woolly bench --kernels");
  ASSERT_EQ(parsed["rows"].size(), 2u);
  EXPECT_EQ(parsed["rows"][0], json::parse(R"({"type": "Q4_K", "rows": 4096, "k": 2048, "columns": 4,
      "kernels": "scalar", "gops": 450.0, "spread": 0.01, "gbytes_per_second": 25.0, "ops_share": 0.5,
      "read_share": 0.625})"));
  EXPECT_EQ(parsed["rows"][1]["read_share"], nullptr);
  EXPECT_EQ(parsed["roofs"]["scalar"]["float_ops_per_second"], 230e9);
  EXPECT_EQ(parsed["errors"], json({"error of the roof"}));
}

TEST(KernelReport, CsvHasTheRoofsOfEachRow) {
  EXPECT_EQ(to_csv(some_report(), {"0.1", "woolly bench --kernels"}),
            "machine,version,weights,type,rows,k,columns,kernels,gops,spread,gbytes_per_second,ops_per_byte,ops_share,"
            "read_share,roof_gops,roof_gbytes_per_second,command\n"
            "\"Processor, 2 threads\",0.1,memory,Q4_K,4096,2048,4,scalar,450.0000,0.0100,25.0000,18.0000,0.5000,0.6250,"
            "900.0000,40.0000,woolly bench --kernels\n"
            "\"Processor, 2 threads\",0.1,memory,F32,64,64,1,scalar,23.0000,0.0200,46.0000,0.5000,0.1000,,"
            "230.0000,40.0000,woolly bench --kernels\n");
  KernelReport report = some_report();
  report.roofs.clear();
  report.is_from_memory = false;
  const std::string csv = to_csv(report, {});
  EXPECT_NE(csv.find(",cached,"), std::string::npos) << csv;
  EXPECT_NE(csv.find(",0.6250,,,\n"), std::string::npos) << csv;
}

TEST(KernelReport, TextShowsRowsAndRoofs) {
  const std::string text = to_text(some_report(), {"0.1", ""});
  for (const char* part : {"Processor, 2 threads", "from memory", "Q4_K", "4096x2048", "450.00", "50.0 %", "62.5 %",
                           "int8 900 GOPS", "float32 230 GOPS", "reads 40.0 GB/s"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
}

AttentionReport some_attention() {
  AttentionReport report;
  report.machine = "Processor, 2 threads";
  report.n_threads = 2;
  report.is_from_memory = true;
  const kernels::KernelTable* scalar = kernels::available_tables().front();
  report.roofs = {{scalar, Roof{40e9, 900e9, 1U << 30U, 230e9, 0}}};
  report.rows = {{quant::DType::kF16, 64, 4, 512, scalar, {92e9, 0.01}, 23e9, 0.4, std::nullopt, 0.575},
                 {quant::DType::kQ8_0, 128, 64, 4096, scalar, {46e9, 0.02}, 12e9, 0.2, 0.125, std::nullopt}};
  report.errors = {"error of the roof"};
  return report;
}

TEST(AttentionReport, TextShowsRowsAndRoofs) {
  EXPECT_EQ(to_text(some_attention(), {"0.1", ""}),
            "Processor, 2 threads, woolly 0.1\nattention, keys and values from memory\n"
            "roofs of scalar: int8 900 GOPS, float32 230 GOPS, reads 40.0 GB/s\n\n"
            "type    head     keys  queries  kernels         GFLOPS   spread     GB/s"
            "  of float32  of bfloat16  of reads\n"
            "F16       64      512        4  scalar           92.00    1.0 %    23.00"
            "      40.0 %                 57.5 %\n"
            "Q8_0     128     4096       64  scalar           46.00    2.0 %    12.00"
            "      20.0 %       12.5 %          \n");
}

TEST(AttentionReport, JsonAndCsvHaveEachRow) {
  const json parsed = json::parse(to_json(some_attention(), {"0.1", "woolly bench --kernels --attention"}));
  EXPECT_EQ(parsed["machine"], "Processor, 2 threads");
  EXPECT_EQ(parsed["keys_and_values"], "memory");
  ASSERT_EQ(parsed["rows"].size(), 2u);
  EXPECT_EQ(parsed["rows"][0], json::parse(R"({"type": "F16", "head": 64, "keys": 512, "queries": 4,
      "kernels": "scalar", "gflops": 92.0, "spread": 0.01, "gbytes_per_second": 23.0, "float_share": 0.4,
      "bf16_share": null, "read_share": 0.575})"));
  EXPECT_EQ(parsed["rows"][1]["bf16_share"], 0.125);
  EXPECT_EQ(parsed["roofs"]["scalar"]["read_bytes_per_second"], 40e9);
  EXPECT_EQ(parsed["errors"], json({"error of the roof"}));
  EXPECT_EQ(to_csv(some_attention(), {"0.1", "woolly bench --kernels --attention"}),
            "machine,version,keys_and_values,type,head,keys,queries,kernels,gflops,spread,gbytes_per_second,"
            "float_share,bf16_share,read_share,command\n"
            "\"Processor, 2 threads\",0.1,memory,F16,64,512,4,scalar,92.0000,0.0100,23.0000,0.4000,,0.5750,"
            "woolly bench --kernels --attention\n"
            "\"Processor, 2 threads\",0.1,memory,Q8_0,128,4096,64,scalar,46.0000,0.0200,12.0000,0.2000,0.1250,,"
            "woolly bench --kernels --attention\n");
}

CallReport some_calls() {
  CallReport report;
  report.machine = "Processor, 1 thread";
  report.rows = {{"add", 16, "scalar", {4, 0.01}},
                 {"add", 16, "avx2", {2, 0.02}},
                 {"add", 64, "scalar", {16, 0}},
                 {"add", 64, "avx2", {5.25, 0}}};
  report.direct_ns = {1.25, 0.5};
  report.table_ns = {1.5, 0.25};
  return report;
}

TEST(CallReport, TextHasALineForEachSizeAndAColumnForEachTable) {
  EXPECT_EQ(to_text(some_calls(), {"0.1", ""}),
            "Processor, 1 thread, woolly 0.1\nns per call\n\n"
            "kernel         elements        scalar          avx2\n"
            "add                  16           4.0           2.0\n"
            "add                  64          16.0           5.2\n"
            "\nPlain code, adding 16: by its name 1.25 ns (spread 50.0 %), through a table 1.50 ns (25.0 %)\n");
}

TEST(CallReport, JsonAndCsvHaveEachRow) {
  const json parsed = json::parse(to_json(some_calls(), {"0.1", "woolly bench --kernels --calls"}));
  ASSERT_EQ(parsed["rows"].size(), 4u);
  EXPECT_EQ(parsed["rows"][1],
            json::parse(R"({"kernel": "add", "elements": 16, "kernels": "avx2", "ns": 2.0, "spread": 0.02})"));
  EXPECT_EQ(parsed["call"], json::parse(R"({"direct_ns": 1.25, "table_ns": 1.5})"));
  const std::string csv = to_csv(some_calls(), {"0.1", "woolly bench --kernels --calls"});
  EXPECT_TRUE(csv.starts_with("machine,version,kernel,elements,kernels,ns,spread,command\n"
                              "\"Processor, 1 thread\",0.1,add,16,scalar,4.0000,0.0100,woolly bench --kernels "
                              "--calls\n"))
      << csv;
  EXPECT_NE(csv.find(",plain add,16,table,1.5000,0.2500,"), std::string::npos) << csv;
}

}  // namespace
}  // namespace woolly::bench
