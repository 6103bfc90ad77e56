// SPDX-License-Identifier: BSD-3-Clause

// Refuses to start on a CPU older than the program's target, where it would die by SIGILL. Only
// this file is compiled for baseline x86-64, and its function runs before all static constructors,
// which are not. Only system calls work that early.

#include <unistd.h>

#include <string_view>

namespace {

constexpr int kExitStart = 1;

constexpr std::string_view kRefusal =
    "millrace: this CPU lacks instructions of " MILLRACE_CPU
    ", which this program needs (x86-64-v3: AVX2, BMI2, FMA; Intel since Haswell, AMD since Zen); "
    "use a newer CPU, or give the virtual machine its host's CPU model\n";

void check_cpu(int /*argc*/, char** /*argv*/, char** /*envp*/) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports(MILLRACE_CPU)) return;
  // If stderr is closed, only the exit status reports the failure.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kRefusal.data(), kRefusal.size());
  ::_exit(kExitStart);
}

[[gnu::section(".preinit_array"), gnu::used]] void (*const first)(int, char**, char**) = check_cpu;

}  // namespace
