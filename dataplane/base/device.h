// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parses the device texts of the config file: "0000:3b:00.0,dv_flow_en=1" or
// "net_af_packet0,iface=eth0". A name, then arguments of the DPDK driver.

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// The part before the first comma.
[[nodiscard]] std::string_view device_name(std::string_view device);
// The value of the argument `key` ("x" for "iface" in "net_tap0,iface=x"); empty if none.
[[nodiscard]] std::string_view device_argument(std::string_view device, std::string_view key);

// The PCI address in the form of sysfs ("0000:3b:00.0", also for "3B:00.0"); nothing for a virtual
// device.
[[nodiscard]] std::optional<std::string> pci_address(std::string_view device);
// The device with its PCI address in that form; a virtual device unchanged.
[[nodiscard]] std::string canonical_device(std::string_view device);

// True if the device opens a kernel network interface by AF_PACKET or AF_XDP.
[[nodiscard]] bool opens_kernel_interface(std::string_view device);
// The name of that interface; empty if none.
[[nodiscard]] std::string_view kernel_interface(std::string_view device);

}  // namespace millrace
