// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/kernel_link.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dataplane/base/file_descriptor.h"

namespace millrace {

std::optional<KernelLink> kernel_link(const std::string& name) {
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return std::nullopt;
  name.copy(request.ifr_name, name.size());
  const FileDescriptor fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) return std::nullopt;
  KernelLink link{.flags = request.ifr_flags};
  if (ioctl(fd.get(), SIOCGIFMTU, &request) != 0) return std::nullopt;
  link.mtu = static_cast<unsigned>(request.ifr_mtu);
  return link;
}

}  // namespace millrace
