// SPDX-License-Identifier: BSD-3-Clause
#include "perf/environment.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

namespace millrace::perf {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr unsigned kPoolCache = 256;

std::vector<unsigned> own_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  pthread_getaffinity_np(pthread_self(), sizeof set, &set);
  std::vector<unsigned> cores;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) cores.push_back(i);
  }
  return cores;
}

// Worker 0 has the second core. The first is left to other threads (the one that changes flows).
std::vector<unsigned> cores_of_workers() {
  std::vector<unsigned> cores = own_cores();
  cores.resize(std::min<std::size_t>(cores.size(), kMaxWorkers));
  std::ranges::reverse(cores);
  return cores;
}

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

void* huge_memory(std::size_t bytes) {
  void* const memory = std::aligned_alloc(kHugePage, whole_pages(bytes));
  if (memory != nullptr) madvise(memory, whole_pages(bytes), MADV_HUGEPAGE);
  return memory;
}

[[noreturn]] void fail_for(const std::string& what) {
  throw std::runtime_error("no memory for " + what + ": " + rte_strerror(rte_errno));
}

}  // namespace

void start_eal() {
  static const bool started = [] {
    cpu_set_t all;
    pthread_getaffinity_np(pthread_self(), sizeof all, &all);
    std::string lcores = "0@" + std::to_string(own_cores().front());
    unsigned lcore = 0;
    for (const unsigned core : cores_of_workers()) {
      lcores += "," + std::to_string(++lcore) + "@" + std::to_string(core);
    }
    std::vector<std::string> words{"bench",          "--no-huge", "--no-shconf", "--no-pci",
                                   "--no-telemetry", "-m",        "128",         "--log-level=4",
                                   "--lcores",       lcores};
    std::vector<char*> args;
    args.reserve(words.size());
    for (std::string& word : words) args.push_back(word.data());
    if (rte_eal_init(static_cast<int>(args.size()), args.data()) < 0) {
      throw std::runtime_error(std::string("rte_eal_init() failed: ") + rte_strerror(rte_errno));
    }
    pthread_setaffinity_np(pthread_self(), sizeof all, &all);
    return true;
  }();
  (void)started;
}

unsigned worker_cores() { return static_cast<unsigned>(cores_of_workers().size()); }
unsigned lcore_of_worker(unsigned worker) { return worker + 1; }

rte_mempool& make_pool(std::size_t packets) {
  start_eal();
  static int number = 0;
  const std::string name = "packets" + std::to_string(number++);
  const auto size = static_cast<unsigned>(packets + 4UL * kPoolCache);
  rte_mempool* const pool = rte_mempool_create_empty(
      name.c_str(), size, sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, kPoolCache,
      sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (pool == nullptr) fail_for("a pool of packets");
  rte_pktmbuf_pool_init(pool, nullptr);
  const std::size_t bytes = whole_pages(size * (RTE_MBUF_DEFAULT_BUF_SIZE + 512UL));
  char* const memory = static_cast<char*>(huge_memory(bytes));
  if (memory == nullptr ||
      rte_mempool_populate_virt(pool, memory, bytes, kHugePage, nullptr, nullptr) < 0) {
    fail_for("packets");
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return *pool;
}

int huge_heap(std::size_t bytes) {
  start_eal();
  constexpr const char* kName = "huge";
  const std::size_t pages = whole_pages(bytes) / kHugePage;
  void* const memory = huge_memory(bytes);
  if (memory == nullptr || rte_malloc_heap_create(kName) != 0 ||
      rte_malloc_heap_memory_add(kName, memory, pages * kHugePage, nullptr,
                                 static_cast<unsigned>(pages), kHugePage) != 0) {
    fail_for("a heap");
  }
  return rte_malloc_heap_get_socket(kName);
}

SlotMemory huge_slot_memory() { return {.allocate = huge_memory, .release = std::free}; }

std::uint64_t huge_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  std::uint64_t kilobytes = 0;
  while (file >> word) {
    if (word == "AnonHugePages:" && file >> kilobytes) break;
  }
  return kilobytes * 1024;
}

}  // namespace millrace::perf
