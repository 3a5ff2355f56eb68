// SPDX-License-Identifier: Apache-2.0
#include "daemon/image_source.hpp"

#include <filesystem>

#include <fcntl.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "daemon/fake_host_test.hpp"
#include "support/system.hpp"

namespace alcove::daemon {
namespace {

class ImageSourceTest : public testing::Test {
  protected:
    std::string put(const std::string& name, const std::string& content) {
        const std::string path = directory_.path() + "/" + name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        sys::replace_file(path, as_byte_view(content), 0600).value();
        return path;
    }
    ErrorCode descriptor_code(Fd fd) {
        const auto image = image_from_descriptor(std::move(fd));
        return image ? ErrorCode::Internal : image.error().code();
    }
    Result<ImageSource> disk(const std::string& serial, uint64_t bytes) {
        return image_from_disk(serial, bytes, directory_.path() + "/block", directory_.path() + "/dev");
    }
    TestDirectory directory_;
};

TEST_F(ImageSourceTest, AFileOpenForReadingIsTaken) {
    const auto image = image_from_descriptor(sys::open(put("image", "12345"), O_RDONLY).value()).value();

    EXPECT_EQ(image.bytes, 5U);
}

TEST_F(ImageSourceTest, OtherDescriptorsAreRefused) {
    const auto path = put("image", "12345");

    EXPECT_EQ(descriptor_code(sys::open(path, O_WRONLY).value()), ErrorCode::InvalidArgument);
    EXPECT_EQ(descriptor_code(sys::open(path, O_PATH).value()), ErrorCode::InvalidArgument);
    EXPECT_EQ(descriptor_code(sys::open(directory_.path(), O_RDONLY | O_DIRECTORY).value()),
              ErrorCode::InvalidArgument);
    EXPECT_EQ(descriptor_code(sys::open("/dev/zero", O_RDONLY).value()), ErrorCode::InvalidArgument);
    EXPECT_EQ(descriptor_code(sys::socket_pair(SOCK_STREAM).value().first), ErrorCode::InvalidArgument);
    EXPECT_EQ(descriptor_code(sys::pipe().value().first), ErrorCode::InvalidArgument);
}

TEST_F(ImageSourceTest, ADiskIsFoundByItsSerialNumber) {
    put("block/vda/serial", "alcove-state");
    put("block/vdb/serial", "img-1\n");
    put("block/vdb/ro", "1\n");
    put("dev/vdb", "0123456789");

    const auto image = disk("img-1", 4).value();

    EXPECT_EQ(image.bytes, 4U);
    EXPECT_EQ(disk("img-2", 4).error().code(), ErrorCode::NotFound);
    EXPECT_EQ(disk("img-1", 11).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(disk("img-1", 0).error().code(), ErrorCode::InvalidArgument);
}

TEST_F(ImageSourceTest, AWritableDiskIsRefused) {
    put("block/vda/serial", "alcove-state");
    put("block/vda/ro", "0\n");
    put("dev/vda", "0123456789");

    EXPECT_EQ(disk("alcove-state", 4).error().code(), ErrorCode::InvalidArgument);
}

TEST_F(ImageSourceTest, ASerialNumberIsNoPath) {
    EXPECT_EQ(disk("../vdb", 4).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(disk("", 4).error().code(), ErrorCode::InvalidArgument);
    EXPECT_EQ(disk("123456789012345678901", 4).error().code(), ErrorCode::InvalidArgument);
}

TEST(DiskSource, ADiskIsOpenForWhatTheGuestMayDo) {
    const auto file = sys::memfd("disk").value();
    sys::truncate(file, 512).value();
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    const auto opened = [&](int flags, FileUse use) {
        return disk_from_descriptor(sys::open(path, flags).value(), use).has_value();
    };

    EXPECT_TRUE(opened(O_RDONLY, FileUse::ReadOnly));
    EXPECT_TRUE(opened(O_RDWR, FileUse::ReadWrite));
    EXPECT_FALSE(opened(O_RDWR, FileUse::ReadOnly));
    EXPECT_FALSE(opened(O_RDONLY, FileUse::ReadWrite));
    EXPECT_FALSE(opened(O_RDWR | O_APPEND, FileUse::ReadWrite));
    EXPECT_FALSE(opened(O_WRONLY, FileUse::ReadWrite));
}

}  // namespace
}  // namespace alcove::daemon
