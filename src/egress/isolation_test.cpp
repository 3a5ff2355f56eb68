// SPDX-License-Identifier: Apache-2.0
#include "egress/isolation.hpp"

#include <cstdio>

#include <fcntl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "sandbox/child_for_tests.hpp"

namespace alcove::egress {
namespace {

using sandbox::exited_with;
using sandbox::status_of_child;
using sandbox::was_ended;

constexpr int kNotPossible = 77;  // no namespaces for this user

TEST(Isolation, TheProxyHasNoNetworkAndNoPrivilege) {
    const int status = status_of_child([] {
        if (!leave_networks()) ::_exit(kNotPossible);
        if (!drop_privileges()) ::_exit(1);
        if (::getuid() == 0 || ::setuid(0) == 0) ::_exit(2);
        struct if_nameindex* const interfaces = ::if_nameindex();
        for (auto* one = interfaces; one != nullptr && one->if_index != 0; ++one)
            if (std::string(one->if_name) != "lo") ::_exit(3);
        ::_exit(0);
    });
    if (exited_with(status, kNotPossible)) GTEST_SKIP() << "no namespaces for this user here";
    EXPECT_TRUE(exited_with(status, 0)) << status;
}

TEST(Isolation, TheProxyMakesNoSocketAndOpensNoFile) {
    const auto behind_the_door = [](const std::function<void()>& action) {
        return status_of_child([&] {
            if (!drop_privileges() || !enter_proxy_sandbox()) ::_exit(1);
            action();
        });
    };
    EXPECT_TRUE(exited_with(behind_the_door([] { ::_exit(0); }), 0));
    EXPECT_TRUE(was_ended(behind_the_door([] { ::socket(AF_INET, SOCK_STREAM, 0); })));
    EXPECT_TRUE(was_ended(behind_the_door([] { ::open("/etc/passwd", O_RDONLY); })));
    EXPECT_TRUE(was_ended(behind_the_door([] { ::fork(); })));
    EXPECT_TRUE(was_ended(behind_the_door([] { ::execl("/bin/true", "true", nullptr); })));
}

}  // namespace
}  // namespace alcove::egress
