// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The text of --version: version, git revision, loaded DPDK version, build type and CPU.
// version.cc is generated from version.cc.in and linked into the programs only, so that a commit
// relinks these and not all tests.

#include <string>
#include <string_view>

namespace millrace {

// "millrace 0.1.0 (git 21d0c69a0b1c, DPDK 22.11.11, debugoptimized, x86-64-v3)"
[[nodiscard]] std::string version_text(std::string_view program);

}  // namespace millrace
