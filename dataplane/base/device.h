// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The text of a device, as in the config file: "0000:3b:00.0,dv_flow_en=1" or
// "net_af_packet0,iface=eth0". A name, then arguments of the DPDK driver.

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

// The name: what stands before the first comma.
[[nodiscard]] std::string_view device_name(std::string_view device);
// The argument `key` ("iface" of "net_tap0,iface=x"); empty if it has none.
[[nodiscard]] std::string_view device_argument(std::string_view device, std::string_view key);

// The PCI address of a device as sysfs writes it ("0000:3b:00.0", also of "3B:00.0"); nothing for a
// virtual device.
[[nodiscard]] std::optional<std::string> pci_address(std::string_view device);
// The device with its PCI address in that form; others as they are.
[[nodiscard]] std::string canonical_device(std::string_view device);

// Whether it is a network interface of the kernel, opened by AF_PACKET or AF_XDP.
[[nodiscard]] bool opens_kernel_interface(std::string_view device);
// That interface's name; empty if the device names none.
[[nodiscard]] std::string_view kernel_interface(std::string_view device);

}  // namespace millrace
