// SPDX-License-Identifier: BSD-3-Clause
// IP and UDP checksum of one relayed packet: incremental update (RFC 1624) against full computation
// over header and payload (G.711, 20 ms).

#include <array>
#include <cstddef>
#include <cstdint>

#include <benchmark/benchmark.h>

#include "dataplane/wire/checksum.h"

namespace millrace {
namespace {

constexpr std::size_t kIpHeader = 20;
constexpr std::size_t kDatagram = 180;

struct alignas(64) Packet {
  std::array<std::byte, kIpHeader> ip{};
  std::array<std::byte, kDatagram> udp{};
};

Packet sample() {
  Packet packet;
  for (std::size_t i = 0; i < kDatagram; ++i) packet.udp[i] = static_cast<std::byte>(i * 7);
  for (std::size_t i = 0; i < kIpHeader; ++i) packet.ip[i] = static_cast<std::byte>(i * 5);
  return packet;
}

void incremental(benchmark::State& state) {
  std::uint16_t ip = 0x1234;
  std::uint16_t udp = 0x4321;
  std::uint16_t delta = 0x0a0b;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(delta);
    ip = updated_checksum(ip, delta);
    udp = updated_udp_checksum(udp, delta);
    benchmark::DoNotOptimize(ip);
    benchmark::DoNotOptimize(udp);
  }
}
BENCHMARK(incremental);

void full(benchmark::State& state) {
  Packet packet = sample();
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(packet);
    benchmark::DoNotOptimize(ipv4_checksum(packet.ip.data()));
    benchmark::DoNotOptimize(checksum(packet.udp));
  }
}
BENCHMARK(full);

void verify_ipv4(benchmark::State& state) {
  Packet packet = sample();
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(packet);
    benchmark::DoNotOptimize(ipv4_checksum_ok(packet.ip.data()));
  }
}
BENCHMARK(verify_ipv4);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
